"""Inner loops, compiled on first use and kept on disk.

Each does what a line or two of numpy would, in one pass and without temporary arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled, compiled_in_any_order
from ranking.engine.compiled.prefetch import AHEAD, prefetch_row

__all__ = [
    "add_bm25",
    "first_best",
    "kth_largest",
    "none",
    "row_dots",
    "row_squares",
    "scan_codes",
]

RARE = 32
Short = np.int16


def none(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An empty array in place of a segment's own, to compiled code of the same type."""
    array = np.empty(shape, dtype)
    array.flags.writeable = False
    return array


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
    """Return the k-th largest of `values` (1 <= k <= len, no NaN).

    A heap of k over one pass where k is a small part, else quickselect (Hoare, CACM 1961).
    """
    if RARE * k > len(values):
        return _selected(values.copy(), k - 1)
    heap = values[:k].copy()
    for root in range(k // 2 - 1, -1, -1):
        _sift_down(heap, root)
    for value in values[k:]:
        if value > heap[0]:
            heap[0] = value
            _sift_down(heap, 0)
    return float(heap[0])


@compiled
def _selected(values: NDArray[Any], place: int) -> float:
    """The value that stands at `place` once they are sorted from the largest; moves them.

    No step depends on a guess of the processor's: half of such guesses would be wrong.
    """
    low, high = 0, len(values)
    while high - low > 1:
        pivot = _middle(values[low], values[(low + high) // 2], values[high - 1])
        above = low
        for each in range(low, high):
            value = values[each]
            values[each], values[above] = values[above], value
            above += value > pivot
        equal = above
        if place >= above:
            for each in range(above, high):
                value = values[each]
                values[each], values[equal] = values[equal], value
                equal += value == pivot
        if above <= place < equal:
            return float(pivot)
        if place < above:
            high = above
        else:
            low = equal
    return float(values[place])


@compiled
def _middle(a: Any, b: Any, c: Any) -> Any:  # noqa: ANN401 - a number of any kind
    """The median of three."""
    return max(min(a, b), min(max(a, b), c))


@compiled
def first_best(values: NDArray[Any], edge: float, count: int) -> NDArray[np.int64]:
    """Places of values above `edge`, and of the first that equal it, `count` in all; ascending.

    edge: the `count`-th largest value.
    """
    left = count
    for value in values:
        left -= value > edge
    places = np.empty(count, np.int64)
    filled = 0
    for place in range(len(values)):
        equal = values[place] == edge and left > 0
        left -= equal
        if equal or values[place] > edge:
            places[filled] = place
            filled += 1
    return places


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
    """Dot products of documents' codes with one query's: int32 into `out`.

    codes: int8 [blocks, d, 64], each block 64 documents side by side; d a multiple of 8. query:
    int8 [d]. All are within -63..63, so that eight products add up in 16 bits: a register holds
    as many documents as it has room for.
    """
    for block in range(codes.shape[0]):
        for k in range(0, codes.shape[1], 8):
            c = codes[block, k : k + 8]
            q0, q1, q2, q3 = (
                Short(query[k]),
                Short(query[k + 1]),
                Short(query[k + 2]),
                Short(query[k + 3]),
            )
            q4, q5, q6, q7 = (
                Short(query[k + 4]),
                Short(query[k + 5]),
                Short(query[k + 6]),
                Short(query[k + 7]),
            )
            for doc in range(64):
                total = Short(Short(c[0, doc]) * q0)
                total = Short(total + Short(Short(c[1, doc]) * q1))
                total = Short(total + Short(Short(c[2, doc]) * q2))
                total = Short(total + Short(Short(c[3, doc]) * q3))
                total = Short(total + Short(Short(c[4, doc]) * q4))
                total = Short(total + Short(Short(c[5, doc]) * q5))
                total = Short(total + Short(Short(c[6, doc]) * q6))
                total = Short(total + Short(Short(c[7, doc]) * q7))
                if k == 0:
                    out[64 * block + doc] = np.int32(total)
                else:
                    out[64 * block + doc] += np.int32(total)


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
    for place in range(min(AHEAD, len(which))):
        prefetch_row(rows, which[place])
    for place in range(len(which)):
        if place + AHEAD < len(which):
            prefetch_row(rows, which[place + AHEAD])
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
