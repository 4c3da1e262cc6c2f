"""BM25 of chosen documents, exactly: from their frequencies, term by term, in float64.

The scores are those of adding up every posting of every term, to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled

__all__ = ["Lexicon", "Words", "marked", "popcount", "scores_of"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Words = NDArray[np.uint64]


class Lexicon(NamedTuple):
    """A segment's postings, and the terms of a query.

    docs uint32, tfs uint16, parts uint16 [postings]; norms float64 [documents]. Rows of frequent
    terms: parts uint8 [rows, 64 * words]; marks uint64 [rows, words, 2], a bit for each of 64
    documents, and how many bits are set before. For each term of the query: start and end of
    its postings, its weight, its row or -1. stretch: what the parts are to be multiplied with
    to be bounds.
    """

    docs: NDArray[np.uint32]
    tfs: NDArray[np.uint16]
    parts: NDArray[np.uint16]
    norms: Doubles
    rows: NDArray[np.uint8]
    marks: NDArray[np.uint64]
    starts: Docs
    ends: Docs
    weights: Doubles
    row_of: Docs
    stretch: float


# So many postings for each document sought are gone through one by one.
NEAR = 64


@compiled
def popcount(word: np.uint64) -> int:
    """How many bits of a uint64 are set; compiled to one instruction."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def marked(words: Words, doc: int) -> bool:
    """Whether a document's bit is set; there may be no words at all."""
    if len(words) == 0:
        return False
    return bool((words[doc >> 6] >> np.uint64(doc & 63)) & np.uint64(1))


@compiled
def scores_of(words: Lexicon, barred: Words, which: Docs) -> Doubles:
    """BM25 of the documents numbered `which` (ascending); 0 for those that are barred."""
    found = np.zeros(len(which))
    places = np.empty(len(which), np.int64)
    for term in range(len(words.starts)):
        if words.row_of[term] >= 0:
            _places_in_row(words, words.row_of[term], words.starts[term], which, places)
        else:
            _places(words.docs, words.starts[term], words.ends[term], which, places)
        for row in range(len(which)):
            if places[row] >= 0:
                tf = np.float64(words.tfs[places[row]])
                found[row] += words.weights[term] * tf / (tf + words.norms[which[row]])
    if len(barred):
        for row in range(len(which)):
            if marked(barred, which[row]):
                found[row] = 0.0
    return found


@compiled
def _places_in_row(words: Lexicon, row: int, start: int, which: Docs, places: Docs) -> None:
    """Where documents' postings of a frequent term stand, -1 where they have none."""
    for each in range(len(which)):
        doc = which[each]
        bits, before = words.marks[row, doc >> 6, 0], words.marks[row, doc >> 6, 1]
        bit = np.uint64(1) << np.uint64(doc & 63)
        place = start + np.int64(before) + popcount(bits & (bit - np.uint64(1)))
        places[each] = place if bits & bit else -1


@compiled
def _places(docs: NDArray[np.uint32], start: int, end: int, which: Docs, places: Docs) -> None:
    """Where documents' postings of a term stand, -1 where they have none; both ascend."""
    near = end - start < NEAR * len(which)
    place = start
    for each in range(len(which)):
        doc = which[each]
        if near:
            while place < end and docs[place] < doc:
                place += 1
        else:
            place = _not_before(docs, place, end, doc)
        places[each] = place if place < end and docs[place] == doc else -1


@compiled
def _not_before(docs: NDArray[np.uint32], low: int, end: int, doc: int) -> int:
    """The first place from `low` on whose document is not before `doc`: steps that double."""
    step = 1
    while low + step < end and docs[low + step] < doc:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) // 2
        if docs[middle] < doc:
            low = middle + 1
        else:
            high = middle
    return low
