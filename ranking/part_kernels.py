"""A rough BM25 for every document, never too low, added up a block of documents at a time.

tf / (tf + norm), the part of BM25 that a document's posting has, is between 0 and 1: two bytes hold
it for each posting. Frequent terms have one byte for every document, which whole vector registers
add at a time. Both are rounded up, so the sum is at most `margin` above the true score.

Frequent terms also have a bitmap, to tell without a search where a document's posting stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import compiled, compiled_in_any_order, count_above
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
    bits: Words,
    ranks: NDArray[np.uint32],
) -> None:
    """Fill the rows of frequent terms, which hold zeros, from documents and parts of postings."""
    docs, parts = lexicon
    for row in range(len(starts)):
        for posting in range(starts[row], ends[row]):
            doc = np.int64(docs[posting])
            rows[row, doc] = np.uint8(np.ceil(parts[posting] * (COARSE / FINE)))
            bits[row, doc >> 6] |= np.uint64(1) << np.uint64(doc & 63)
        total = np.int64(0)
        for word in range(bits.shape[1]):
            ranks[row, word] = total
            total += popcount(bits[row, word])


@compiled
def add_block(words: Lexicon, cursors: Docs, begin: int, end: int, sums: Sums) -> bool:
    """Sum the parts of documents `begin` to `end` anew; return whether any may have a term.

    cursors: where each term's postings of the block begin; moved to where they end.
    """
    sums[:] = 0.0
    touched = False
    for term in range(len(cursors)):
        weight = words.weights[term] * words.stretch
        row = words.row_of[term]
        if row >= 0:
            touched = True
            _add_row(sums, words.rows[row, begin:end], np.float32(weight / COARSE))
            continue
        step, posting = np.float32(weight / FINE), cursors[term]
        while posting < words.ends[term] and words.docs[posting] < end:
            sums[words.docs[posting] - begin] += step * np.float32(words.parts[posting])
            posting += 1
        touched |= posting > cursors[term]
        cursors[term] = posting
    return touched


@compiled_in_any_order
def _add_row(sums: Sums, row: NDArray[np.uint8], weight: np.float32) -> None:
    for place in range(len(row)):
        sums[place] += weight * np.float32(row[place])


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
    table = sums.view(np.int32).reshape(-1, ROW)
    count = 0
    for row in range(len(table)):
        count += count_above(table, row, np.int32(0))
    return count
