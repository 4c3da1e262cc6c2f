"""Inner loops, compiled on first use and kept on disk.

Each does what one line of numpy would, in one pass and without temporary arrays.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_bm25", "kth_largest"]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add_bm25(
    docs: NDArray[np.uint32],
    tfs: NDArray[np.uint16],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    weights: NDArray[np.float64],
    norms: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add weight * tf / (tf + norm) to `out` for each posting of each term, term by term."""
    for term in range(len(starts)):
        for posting in range(starts[term], ends[term]):
            doc = docs[posting]
            tf = np.float64(tfs[posting])
            out[doc] += weights[term] * tf / (tf + norms[doc])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def kth_largest(values: NDArray[np.floating], k: int) -> float:
    """Return the k-th largest of `values` (1 <= k <= len, no NaN): a heap of k over one pass."""
    heap = values[:k].copy()
    for root in range(k // 2 - 1, -1, -1):
        _sift_down(heap, root)
    for value in values[k:]:
        if value > heap[0]:
            heap[0] = value
            _sift_down(heap, 0)
    return heap[0]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sift_down(heap: NDArray[np.floating], root: int) -> None:
    value = heap[root]
    while True:
        child = 2 * root + 1
        if child >= len(heap):
            break
        if child + 1 < len(heap) and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[root] = heap[child]
        root = child
    heap[root] = value
