"""The hits that words find, in one pass over all documents.

A rough BM25 and a code tell what a document scores at most. Those who may be among the best wait;
now and then those who promise most are scored exactly, which raises what the others must reach.
So few are scored, and the hits are those of scoring everybody: best first by an upper bound, as in
MaxScore (Turtle and Flood 1995), with bounds of whole documents instead of terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import ZERO, compiled
from ranking.engine.compiled.block_kernels import (
    ROUNDING,
    Room,
    gathered,
    largest,
    line_of,
    promising,
    some_room,
    those_above,
    those_meeting,
)
from ranking.engine.compiled.demand_kernels import Demand, demanded
from ranking.engine.compiled.feature_kernels import (
    About,
    Vectors,
    exact,
    having_vector,
    reach,
    scored,
    side_by_side,
    tolerant,
)
from ranking.engine.compiled.kernels import first_best, kth_largest
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.near_kernels import Code, bounds_of
from ranking.engine.compiled.part_kernels import BLOCK, add_postings, add_rows, frequent_of
from ranking.engine.compiled.row_kernels import Frequent
from ranking.engine.compiled.term_kernels import Lexicon, Words

__all__ = [
    "Hits",
    "Pursuit",
    "WordSearch",
    "begun",
    "ended",
    "found_by_words",
    "pursued",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Scores = NDArray[np.int32]

# So many at least are scored exactly at a time.
FEW = 16
# So many more are kept before they are bounded.
MANY = 1024
# The demand is looked at anew after so many documents, and when so many times as many are seen.
FIRST = 4 * BLOCK
GROWTH = 3


class WordSearch(NamedTuple):
    """Which documents of a segment a query seeks: all that have a word, but the nearest.

    barred: bits of documents that words cannot find, or [0]. near: numbers of the nearest,
    ascending; farthest: the dot product of the last of them, NaN where no other document has a
    vector to compare. longest: the largest of the code's lengths. first: the first phase, one that
    rises with BM25 and closeness; depth: how many hits are wanted.
    """

    words: Lexicon
    barred: Words
    near: Docs
    farthest: float
    code: Code
    longest: float
    vectors: Vectors
    about: About
    first: Program
    depth: int


class Hits(NamedTuple):
    """Documents scored exactly: numbers, features float64 [5, n], scores.

    best: the best scores of all, other documents' included, as many as hits are wanted.
    """

    docs: Docs
    features: Doubles
    scores: Doubles
    best: Doubles


class Waiting(NamedTuple):
    """Documents that may be among the hits: numbers, and what they score at most."""

    docs: Docs
    reach: Doubles


class Pursuit(NamedTuple):
    """How far the search has come.

    room: documents that are still to be bounded, `filled` of them. frequent: the terms that have
    rows. cursors: where the postings of each term go on. demand: what others must have, which holds
    for a BM25 up to `top`, to be asked anew from the document `due` on. matched: how many documents
    had a word.
    """

    hits: Hits
    waiting: Waiting
    room: Room
    frequent: Frequent
    cursors: Docs
    demand: Demand
    top: float
    due: int
    filled: int
    matched: int


@compiled
def found_by_words(search: WordSearch, products: Scores, others: Doubles) -> tuple[Hits, int]:
    """All documents of a segment that may be among the best, and how many have a word.

    products: int32, those of all documents' codes with the query's, or [0]. others: scores of
    documents that compete.
    """
    pursuit = pursued(search, begun(search, others), products, ZERO, len(search.words.norms))
    return ended(search, pursuit), pursuit.matched


@compiled
def begun(search: WordSearch, others: Doubles) -> Pursuit:
    """A search that has seen no document yet; others: scores of documents that compete."""
    return Pursuit(
        Hits(search.near[:0], np.empty((5, 0)), others[:0], best_of(others, search.depth)),
        Waiting(search.near[:0], others[:0]),
        some_room(),
        frequent_of(search.words),
        search.words.starts.copy(),
        Demand(0.0, 0.0, 0.0, 0.0),
        0.0,
        0,
        0,
        0,
    )


@compiled
def pursued(
    search: WordSearch, pursuit: Pursuit, products: Scores, begin: int, end: int
) -> Pursuit:
    """Go on through the documents from `begin` to `end`, the next ones.

    products: int32, those of their codes with the query's, or [0].
    """
    hits, waiting, room, frequent, cursors, demand, top, due, filled, matched = pursuit
    words, sums, places = search.words, np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int64)
    line = line_of(search.code, search.longest, demand, products)
    for start in range(begin, end, BLOCK):
        touched = add_postings(words, cursors, start, min(start + BLOCK, end), sums)
        if not touched and len(frequent.rows) == 0:
            continue
        matched += add_rows(words, frequent, search.barred, start, sums)
        own = products[start - begin : start - begin + BLOCK] if len(products) else products
        if start >= due or filled > MANY:
            columns = largest(sums)
            top, due = max(top, float(columns.max())), GROWTH * start + FIRST
            waiting, filled = joined(search, hits, waiting, room, filled), ZERO
            if len(hits.best) < search.depth:
                few = those_above(sums, promising(sums, columns, search.depth), places)
                room, filled = gathered(few, sums, own, start, room, filled)
                waiting, filled = joined(search, hits, waiting, room, filled), ZERO
            hits, waiting = open_best(search, hits, waiting)
            demand = demanded_of(search, hits, top)
            line = line_of(search.code, search.longest, demand, products)
        if line.sure > line.floor:
            those = those_meeting(sums, own, line, places)
        else:
            those = those_above(sums, line.floor, places)
        room, filled = gathered(those, sums, own, start, room, filled)
    return Pursuit(hits, waiting, room, frequent, cursors, demand, top, due, filled, matched)


@compiled
def ended(search: WordSearch, pursuit: Pursuit) -> Hits:
    """All documents found that may be among the best, once every document has been seen."""
    hits, waiting = pursuit.hits, pursuit.waiting
    waiting = joined(search, hits, waiting, pursuit.room, pursuit.filled)
    while len(waiting.docs):
        hits, waiting = open_best(search, hits, waiting)
    return hits


@compiled
def demanded_of(search: WordSearch, hits: Hits, top: float) -> Demand:
    """What a document left out must have by now."""
    least = least_of(hits.best, search.depth)
    if least == -np.inf:
        return Demand(0.0, 0.0, 0.0, 0.0)
    complete = len(search.about.present) == 0
    return demanded(search.first, search.vectors, least, search.farthest, top, complete)


@compiled
def least_of(best: Doubles, depth: int) -> float:
    """The score that the last hit wanted has so far; -inf while there are fewer."""
    return best.min() if len(best) == depth else -np.inf


@compiled
def best_of(scores: Doubles, depth: int) -> Doubles:
    """The `depth` largest scores, in the order they came in."""
    if len(scores) <= depth:
        return scores
    return scores[first_best(scores, kth_largest(scores, depth), depth)]


@compiled
def joined(search: WordSearch, hits: Hits, waiting: Waiting, room: Room, filled: int) -> Waiting:
    """Those waiting, and of the `filled` in the room those that may be among the best."""
    if filled == 0:
        return waiting
    rows = others_than(search.near, room.docs[:filled])
    docs, bm25 = room.docs[rows], room.sums[rows] * np.float64(1.0 + ROUNDING)
    present, products = having_vector(search.about, docs), np.zeros(len(docs))
    if search.vectors.kind > 0:
        products = bounds_of(search.code, room.products[rows], docs, search.farthest)
    values = reach(search.first, bm25, products, present, search.vectors)
    able = np.flatnonzero(values >= tolerant(least_of(hits.best, search.depth)))
    return Waiting(
        np.concatenate((waiting.docs, docs[able])), np.concatenate((waiting.reach, values[able]))
    )


@compiled
def others_than(near: Docs, docs: Docs) -> Docs:
    """Places of the documents that are not among the nearest; both ascend."""
    rows, kept, place = np.empty(len(docs), np.int64), 0, np.searchsorted(near, docs[0])
    for row in range(len(docs)):
        while place < len(near) and near[place] < docs[row]:
            place += 1
        rows[kept] = row
        kept += place == len(near) or near[place] != docs[row]
    return rows[:kept]


@compiled
def open_best(search: WordSearch, hits: Hits, waiting: Waiting) -> tuple[Hits, Waiting]:
    """Score those who promise most exactly; who cannot be among the best no longer waits."""
    able = np.flatnonzero(waiting.reach >= tolerant(least_of(hits.best, search.depth)))
    docs, values = waiting.docs[able], waiting.reach[able]
    if len(docs) == 0:
        return hits, Waiting(docs, values)
    count = min(max(search.depth, FEW), len(docs))
    promising = values >= kth_largest(values, count)
    chosen = np.sort(docs[promising])  # those of one block came in two lots
    features = exact(search.words, search.barred, chosen, search.vectors, search.about)
    scores = scored(search.first, features)
    hits = Hits(
        np.concatenate((hits.docs, chosen)),
        side_by_side(hits.features, features),
        np.concatenate((hits.scores, scores)),
        best_of(np.concatenate((hits.best, scores)), search.depth),
    )
    return hits, Waiting(docs[~promising], values[~promising])
