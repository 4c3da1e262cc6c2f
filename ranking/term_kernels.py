"""The best documents by BM25: roughly for all of them, then exactly for the best.

tf / (tf + norm), the part of BM25 that a document's posting has, is between 0 and 1: two bytes hold
it for each posting. Frequent terms have one byte for every document, which whole vector registers
add at a time. Both are rounded up, so the sum is at most `margin` above the true score. Whoever
is not further than that below the last of the best is scored again from its frequencies, term by
term in the order of the query: what is found, and its score, are those of scoring every document
in float64, to the bit.

Frequent terms also have a bitmap, to tell without a search where a document's posting stands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import (
    compiled,
    compiled_in_any_order,
    count_above,
    first_best,
    kth_largest,
)

__all__ = [
    "COARSE",
    "Lexicon",
    "Words",
    "best_texts",
    "fill_parts",
    "fill_rows",
    "marked",
    "rough_texts",
    "scores_of",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Words = NDArray[np.uint64]


class Lexicon(NamedTuple):
    """A segment's postings, and the terms of a query.

    docs uint32, tfs uint16, parts uint16 [postings]; norms float64 [documents]. Rows of frequent
    terms: parts uint8 [rows, documents], bits uint64 [rows, words], ranks uint32 of the same
    shape: how many bits are set before each word. For each term of the query: start and end of
    its postings, its weight, its row or -1. stretch: what the parts are to be multiplied with;
    margin: how far their sum can then be above a score.
    """

    docs: NDArray[np.uint32]
    tfs: NDArray[np.uint16]
    parts: NDArray[np.uint16]
    norms: Doubles
    rows: NDArray[np.uint8]
    bits: Words
    ranks: NDArray[np.uint32]
    starts: Docs
    ends: Docs
    weights: Doubles
    row_of: Docs
    stretch: float
    margin: float


FINE = 65535.0
COARSE = 255.0
BLOCK = 4096
WORD = 64
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
def best_texts(words: Lexicon, barred: Words, count: int) -> tuple[Docs, Doubles, int]:
    """The `count` documents of largest BM25: numbers (ascending) and BM25.

    Of equal ones at the end the first are among them. Also returns how many documents have any of
    the terms. barred: a bit for each document, set for those that no word finds, or [0].
    """
    best, _, total = rough_texts(words, barred, count, 0.0)
    scores = scores_of(words, barred, best)
    if len(best) > count:
        first = first_best(scores, kth_largest(scores, count), count)
        best, scores = best[first], scores[first]
    return best, scores, total


@compiled
def rough_texts(
    words: Lexicon, barred: Words, count: int, floor: float
) -> tuple[Docs, NDArray[np.float32], int]:
    """Whatever may be among the `count` best or above `floor`, with what BM25 is at most.

    Numbers ascending, float32; also how many documents have any of the terms.
    """
    sums = np.empty(BLOCK, np.float32)
    # Floats not below 0, seen as whole numbers, sort as they are.
    table = sums.view(np.int32).reshape(-1, WORD)
    edges = np.empty(1, np.float32)
    cursors = words.starts.copy()
    found, tops = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.float32)
    filled, total = 0, 0
    edges[0] = max(floor - 1e-6 * abs(floor), 0.0)
    for begin in range(0, len(words.norms), BLOCK):
        end = min(begin + BLOCK, len(words.norms))
        if not _add_block(words, cursors, begin, end, sums):
            continue
        if filled > 2 * count + WORD:
            filled = _keep_best(found, tops, filled, count, words.margin, edges)
        if filled + BLOCK > len(found):
            found = np.concatenate((found, np.empty_like(found)))
            tops = np.concatenate((tops, np.empty_like(tops)))
        least = edges.view(np.int32)[0]
        for row in range((end - begin + WORD - 1) // WORD):
            bar = np.uint64(0) if len(barred) == 0 else barred[begin // WORD + row]
            if bar != np.uint64(0):
                _clear(table, row, bar)
            total += count_above(table, row, np.int32(0))
            if count_above(table, row, least) > 0:
                for place in range(WORD):
                    if table[row, place] > least:
                        found[filled] = begin + WORD * row + place
                        tops[filled] = sums[WORD * row + place]
                        filled += 1
    filled = _keep_best(found, tops, filled, count, words.margin, edges)
    return found[:filled], tops[:filled], total


@compiled
def _add_block(
    words: Lexicon, cursors: Docs, begin: int, end: int, sums: NDArray[np.float32]
) -> bool:
    """Sum the parts of documents `begin` to `end` anew; return whether any has a term."""
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
def _add_row(sums: NDArray[np.float32], row: NDArray[np.uint8], weight: np.float32) -> None:
    for place in range(len(row)):
        sums[place] += weight * np.float32(row[place])


@compiled
def _clear(table: NDArray[np.int32], row: int, bar: np.uint64) -> None:
    """Set barred documents' sums to 0."""
    for place in range(WORD):
        if (bar >> np.uint64(place)) & np.uint64(1):
            table[row, place] = 0


@compiled
def _keep_best(
    found: Docs,
    tops: NDArray[np.float32],
    filled: int,
    count: int,
    margin: float,
    edges: NDArray[np.float32],
) -> int:
    """Move what may be among the `count` best to the front; return how many; raise the edge."""
    if filled <= count:
        return filled
    edges[0] = max(np.float32(kth_largest(tops[:filled], count) - margin), edges[0])
    kept = 0
    for place in range(filled):
        if tops[place] > edges[0]:
            found[kept], tops[kept] = found[place], tops[place]
            kept += 1
    return kept


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
        bit = np.uint64(1) << np.uint64(doc & 63)
        before = popcount(words.bits[row, doc >> 6] & (bit - np.uint64(1)))
        place = start + np.int64(words.ranks[row, doc >> 6]) + before
        places[each] = place if words.rows[row, doc] else -1


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
