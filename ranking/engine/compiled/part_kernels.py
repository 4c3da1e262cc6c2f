"""A rough BM25 for every document, never too low, added up a block of documents at a time.

tf / (tf + norm), the part of BM25 that a document's posting has, is between 0 and 1: two bytes hold
it for each posting. Frequent terms have one byte for every document, of which whole vector
registers are added at a time (`row_kernels`). Both are rounded up, so the sum is a bound.

Frequent terms also have a bitmap, to tell without a search where a document's posting stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.row_kernels import ROW, Frequent, sum_row
from ranking.engine.compiled.term_kernels import Lexicon, Words, popcount

__all__ = ["BLOCK", "add_postings", "add_rows", "fill_parts", "fill_rows", "frequent_of"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Sums = NDArray[np.float32]

FINE = 65535.0
COARSE = 255.0
BLOCK = 4096


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
def frequent_of(words: Lexicon) -> Frequent:
    """The terms of the query that have rows."""
    some = np.flatnonzero(words.row_of >= 0)
    steps = words.weights[some] * (words.stretch / COARSE)
    return Frequent(words.row_of[some], steps.astype(np.float32))


@compiled
def add_postings(words: Lexicon, cursors: Docs, begin: int, end: int, sums: Sums) -> bool:
    """Set the sums of documents `begin` to `end` to the parts of terms without rows.

    cursors: where each term's postings of the block begin; moved to where they end. Returns whether
    there are any.
    """
    sums[:] = 0.0
    touched = False
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
def add_rows(words: Lexicon, frequent: Frequent, barred: Words, begin: int, sums: Sums) -> int:
    """Add the parts of frequent terms to the sums of a block, and set those of barred ones to 0.

    barred: bits of documents, or [0]. Returns how many documents have any term.
    """
    found, all_rows = 0, words.rows.shape[1]
    for place in range(0, min(len(sums), all_rows - begin), ROW):
        kept = ~np.uint64(0)
        if len(barred):
            kept = ~barred[(begin + place) // ROW]
        found += popcount(
            sum_row(words.rows, frequent.rows, frequent.steps, begin + place, kept, sums, place)
        )
    return found
