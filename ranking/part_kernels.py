"""A rough BM25 for every document, never too low, added up a block of documents at a time.

tf / (tf + norm), the part of BM25 that a document's posting has, is between 0 and 1: two bytes hold
it for each posting. Frequent terms have one byte for every document, which whole vector registers
add at a time. Both are rounded up, so the sum is at most `margin` above the true score.

Frequent terms also have a bitmap, to tell without a search where a document's posting stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled, compiled_in_any_order
from ranking.register_kernels import bits_above
from ranking.term_kernels import Lexicon, Words, popcount

__all__ = ["BLOCK", "COARSE", "ROW", "add_block", "clear", "count_found", "fill_parts", "fill_rows"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Sums = NDArray[np.float32]

FINE = 65535.0
COARSE = 255.0
BLOCK = 4096
ROW = 64


@compiled
def fill_parts(
    docs: NDArray[np.uint32], tfs: NDArray[np.uint16], norms: Doubles, out: NDArray[np.uint16]
) -> None:
    """Write tf / (tf + norm) of every posting, rounded up, into `out` uint16 [postings]."""
    for posting in range(len(docs)):
        tf = np.float64(tfs[posting])
        out[posting] = np.uint16(min(np.ceil(FINE * tf / (tf + norms[docs[posting]])), FINE))


@compiled
def fill_rows(
    lexicon: tuple[NDArray[np.uint32], NDArray[np.uint16]],
    starts: Docs,
    ends: Docs,
    rows: NDArray[np.uint8],
    marks: NDArray[np.uint64],
) -> None:
    """Fill rows and marks of frequent terms, which hold zeros, from documents and their parts."""
    docs, parts = lexicon
    for row in range(len(starts)):
        for posting in range(starts[row], ends[row]):
            doc = np.int64(docs[posting])
            rows[row, doc] = np.uint8(np.ceil(parts[posting] * (COARSE / FINE)))
            marks[row, doc >> 6, 0] |= np.uint64(1) << np.uint64(doc & 63)
        total = 0
        for word in range(marks.shape[1]):
            marks[row, word, 1] = np.uint64(total)
            total += popcount(marks[row, word, 0])


@compiled
def add_block(words: Lexicon, cursors: Docs, begin: int, end: int, sums: Sums) -> bool:
    """Sum the parts of documents `begin` to `end` anew; return whether any may have a term.

    cursors: where each term's postings of the block begin; moved to where they end.
    """
    touched = _set_rows(words, begin, end, sums)
    for term in range(len(cursors)):
        if words.row_of[term] >= 0:
            continue
        step = np.float32(words.weights[term] * words.stretch / FINE)
        last, first = words.ends[term], cursors[term]
        posting = first
        while posting < last and words.docs[posting] < end:
            sums[words.docs[posting] - begin] += step * np.float32(words.parts[posting])
            posting += 1
        touched |= posting > first
        cursors[term] = posting
    return touched


@compiled
def _set_rows(words: Lexicon, begin: int, end: int, sums: Sums) -> bool:
    """Set the sums to those of frequent terms, two at a time; whether there are any."""
    scale, waiting, fresh = words.stretch / COARSE, -1, True
    for term in range(len(words.row_of)):
        if words.row_of[term] < 0:
            continue
        if waiting < 0:
            waiting = term
            continue
        one, two = words.row_of[waiting], words.row_of[term]
        weights = scale * words.weights[waiting], scale * words.weights[term]
        _add_rows(words.rows[one, begin:end], words.rows[two, begin:end], weights, fresh, sums)
        waiting, fresh = -1, False
    if waiting >= 0:
        row = words.rows[words.row_of[waiting], begin:end]
        _add_rows(row, row, (scale * words.weights[waiting], 0.0), fresh, sums)
        fresh = False
    if fresh:
        sums[:] = 0.0
    return not fresh


@compiled_in_any_order
def _add_rows(
    one: NDArray[np.uint8],
    two: NDArray[np.uint8],
    weights: tuple[float, float],
    fresh: bool,
    sums: Sums,
) -> None:
    """Add the weighted parts of two terms to the sums, or, fresh, set the sums to them."""
    first, second = np.float32(weights[0]), np.float32(weights[1])
    if fresh:
        sums[len(one) :] = 0.0
        for place in range(len(one)):
            sums[place] = first * np.float32(one[place]) + second * np.float32(two[place])
        return
    for place in range(len(one)):
        sums[place] += first * np.float32(one[place]) + second * np.float32(two[place])


@compiled
def clear(sums: Sums, begin: int, barred: Words) -> None:
    """Set the sums of a block's barred documents to 0; barred: their bits, or [0]."""
    first = begin // ROW
    for row in range(first, min(first + BLOCK // ROW, len(barred))):
        if barred[row] != np.uint64(0):
            for place in range(ROW):
                if (barred[row] >> np.uint64(place)) & np.uint64(1):
                    sums[ROW * (row - first) + place] = 0.0


@compiled
def count_found(sums: Sums) -> int:
    """How many documents of a block have any term."""
    # Floats not below 0, seen as whole numbers, sort as they are.
    wholes, count = sums.view(np.int32), 0
    for row in range(0, len(wholes), ROW):
        count += popcount(bits_above(wholes, row, np.int32(0)))
    return count
