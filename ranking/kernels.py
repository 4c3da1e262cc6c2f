"""Inner loops, compiled on first use and kept on disk.

Each does what a line or two of numpy would, in one pass and without temporary arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_bm25", "kth_largest", "row_dots", "row_squares", "scan_codes"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on first call; what was compiled is kept on disk where that can be written."""
    return _jit(function, {})


def compiled_in_any_order(function: F) -> F:
    """Compile so that sums may be taken in any order, as vector registers need it."""
    return _jit(function, {"fastmath": {"reassoc", "contract", "nsz"}})


def _jit(function: F, options: dict[str, Any]) -> F:
    try:
        return cast(F, numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # numba found no folder to keep it in
        return cast(F, numba.njit(nogil=True, **options)(function))


@compiled
def add_bm25(
    docs: NDArray[np.uint32],
    tfs: NDArray[np.uint16],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    weights: NDArray[np.float64],
    norms: NDArray[np.float64],
    out: NDArray[np.float64],
) -> int:
    """Add weight * tf / (tf + norm) to `out` for each posting of each term, term by term.

    Returns how many numbers of `out` were 0 before and are not now.
    """
    fresh = 0
    for term in range(len(starts)):
        weight = weights[term]
        for posting in range(starts[term], ends[term]):
            doc = docs[posting]
            tf = np.float64(tfs[posting])
            if out[doc] == 0.0:
                fresh += 1
            out[doc] += weight * tf / (tf + norms[doc])
    return fresh


@compiled
def kth_largest(values: NDArray[Any], k: int) -> float:
    """Return the k-th largest of `values` (1 <= k <= len, no NaN): a heap of k over one pass."""
    heap = values[:k].copy()
    for root in range(k // 2 - 1, -1, -1):
        _sift_down(heap, root)
    for value in values[k:]:
        if value > heap[0]:
            heap[0] = value
            _sift_down(heap, 0)
    return float(heap[0])


@compiled
def _sift_down(heap: NDArray[Any], root: int) -> None:
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


@compiled
def scan_codes(codes: NDArray[np.int8], query: NDArray[np.int8], out: NDArray[np.int32]) -> None:
    """Dot products of int8 codes [n, d] with one int8 query [d]: int32 [n] into `out`."""
    for row in range(codes.shape[0]):
        total = np.int32(0)
        code = codes[row]
        for column in range(codes.shape[1]):
            total += np.int32(code[column]) * np.int32(query[column])
        out[row] = total


@compiled_in_any_order
def row_dots(
    rows: NDArray[np.float32],
    which: NDArray[np.int64],
    query: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Dot products of the rows numbered `which` with one query: float64 [len(which)] into `out`.

    A row's product does not depend on what else is asked for, unlike a matrix product's.
    """
    for place in range(len(which)):
        row = rows[which[place]]
        total = np.float32(0.0)
        for column in range(len(query)):
            total += row[column] * query[column]
        out[place] = total


@compiled_in_any_order
def row_squares(rows: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Products of each row with itself, summed as `row_dots` does: float64 [len(rows)].

    So the cosine of a vector with itself is exactly 1, as it is on a server.
    """
    for place in range(len(rows)):
        row = rows[place]
        total = np.float32(0.0)
        for column in range(len(row)):
            total += row[column] * row[column]
        out[place] = total
