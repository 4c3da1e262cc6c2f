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

from ranking.demand_kernels import Demand, demanded
from ranking.feature_kernels import (
    About,
    Vectors,
    exact,
    has_vector,
    reach,
    scored,
    side_by_side,
    tolerant,
)
from ranking.kernels import compiled, compiled_in_any_order, count_above, kth_largest
from ranking.machine import Program
from ranking.near_kernels import Code, bound_of
from ranking.part_kernels import BLOCK, ROW, add_block, clear, count_found
from ranking.term_kernels import Lexicon, Words

__all__ = ["Left", "found_by_words"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Scores = NDArray[np.int32]

# So many at least are scored exactly at a time.
FEW = 32
# So many more are kept before they are bounded.
MANY = 1024
# The scores wanted are looked at anew when so many times the documents have been seen.
GROWTH = 3
# A sum in float32 may be so much too low.
ROUNDING = 1e-6


class Left(NamedTuple):
    """What is known of documents that are not among the nearest, to be bounded.

    near: numbers of the nearest, ascending. longest: the largest of the code's lengths. scores:
    products of all codes, int32, or [0]. farthest: the product of the last of the nearest; NaN
    where no other document has a vector to compare.
    """

    near: Docs
    code: Code
    longest: float
    scores: Scores
    farthest: float


class Hits(NamedTuple):
    """Documents scored exactly: numbers, features float64 [5, n], scores.

    best: the best scores of all, ascending, other documents' included, as many as hits are wanted.
    matched: how many documents have a word.
    """

    docs: Docs
    features: Doubles
    scores: Doubles
    best: Doubles
    matched: int


class Sought(NamedTuple):
    """What does not change while hits are sought, in the terms of `fused_kernels.search`."""

    words: Lexicon
    barred: Words
    left: Left
    vectors: Vectors
    about: About
    first: Program
    depth: int


class Waiting(NamedTuple):
    """Documents that may be among the hits: numbers, and what they score at most."""

    docs: Docs
    reach: Doubles


@compiled
def found_by_words(
    words: Lexicon,
    barred: Words,
    left: Left,
    vectors: Vectors,
    about: About,
    first: Program,
    others: Doubles,
    depth: int,
) -> Hits:
    """All documents that have a word and may be among the `depth` best, the nearest left out.

    others: scores of documents that compete with them.
    """
    sought = Sought(words, barred, left, vectors, about, first, depth)
    hits = Hits(left.near[:0], np.empty((5, 0)), others[:0], best_of(others, depth), 0)
    waiting = Waiting(left.near[:0], others[:0])
    sums, lifts = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    docs, tops = np.empty(MANY + BLOCK, np.int64), np.empty(MANY + BLOCK, np.float32)
    cursors, top, due = words.starts.copy(), 0.0, 0
    demand, filled, matched = Demand(0.0, 0.0, 0.0, 0.0), 0, 0
    for begin in range(0, len(words.norms), BLOCK):
        if not add_block(words, cursors, begin, min(begin + BLOCK, len(words.norms)), sums):
            continue
        clear(sums, begin, barred)
        matched += count_found(sums)
        if begin >= due or filled > MANY:
            top, due = max(top, float(sums.max())), GROWTH * begin + BLOCK
            waiting = joined(sought, hits, waiting, docs[:filled], tops[:filled])
            if len(hits.best) < depth:
                filled = most_promising(sums, begin, depth, docs, tops)
                waiting = joined(sought, hits, waiting, docs[:filled], tops[:filled])
            hits, waiting = open_best(sought, hits, waiting)
            demand, filled = demanded_of(sought, hits, top), 0
        lift_above(sums, begin, left, demand, lifts)
        filled = gathered(sums, lifts, begin, docs, tops, filled)
    waiting = joined(sought, hits, waiting, docs[:filled], tops[:filled])
    while len(waiting.docs):
        hits, waiting = open_best(sought, hits, waiting)
    return Hits(hits.docs, hits.features, hits.scores, hits.best, matched)


@compiled
def demanded_of(sought: Sought, hits: Hits, top: float) -> Demand:
    """What a document left out must have by now."""
    least = least_of(hits.best, sought.depth)
    if least == -np.inf:
        return Demand(0.0, 0.0, 0.0, 0.0)
    complete = len(sought.about.present) == 0
    return demanded(sought.first, sought.vectors, least, sought.left.farthest, top, complete)


@compiled
def least_of(best: Doubles, depth: int) -> float:
    """The score that the last hit wanted has so far; -inf while there are fewer."""
    return best[0] if len(best) == depth else -np.inf


@compiled
def best_of(scores: Doubles, depth: int) -> Doubles:
    """The `depth` largest scores, ascending."""
    return np.sort(scores)[max(len(scores) - depth, 0) :]


@compiled
def most_promising(sums: Floats, begin: int, depth: int, docs: Docs, tops: Floats) -> int:
    """Move the documents with the best sums of a block out of it: return how many."""
    edge = kth_largest(sums, min(2 * depth, BLOCK))
    filled = 0
    for place in range(BLOCK):
        if sums[place] >= edge and sums[place] > 0.0:
            docs[filled], tops[filled] = begin + place, sums[place]
            sums[place] = 0.0
            filled += 1
    return filled


@compiled_in_any_order
def lift_above(sums: Floats, begin: int, left: Left, demand: Demand, lifts: Floats) -> None:
    """How far each document of a block is above what is demanded, above 0 for whoever meets it."""
    code = left.code
    floor, sure = np.float32(demand.floor), np.float32(demand.sure)
    if len(left.scores) == 0 or code.unit == 0.0 or sure <= floor:
        for place in range(BLOCK):
            lifts[place] = sums[place] - floor
        return
    weight, unit = np.float32(demand.weight), np.float32(code.unit)
    cut = np.float32(demand.cut - code.differs - left.longest * code.outside)
    scores = left.scores[begin : begin + BLOCK]
    lifts[len(scores) :] = 0.0
    for place in range(len(scores)):
        has = sums[place]
        line = weight * has + unit * np.float32(scores[place]) - cut
        line = line if line > has - sure else has - sure
        lifts[place] = line if line < has - floor else has - floor


@compiled
def gathered(sums: Floats, lifts: Floats, begin: int, docs: Docs, tops: Floats, filled: int) -> int:
    """Append the documents of a block that are lifted above 0, and their sums; how many now."""
    # Floats not below 0, seen as whole numbers, sort as they are; those below are below here too.
    table = lifts.view(np.int32).reshape(-1, ROW)
    for row in range(len(table)):
        if count_above(table, row, np.int32(0)) == 0:
            continue
        for place in range(ROW * row, ROW * row + ROW):
            if lifts[place] > 0.0:
                docs[filled], tops[filled] = begin + place, sums[place]
                filled += 1
    return filled


@compiled
def joined(sought: Sought, hits: Hits, waiting: Waiting, docs: Docs, tops: Floats) -> Waiting:
    """Those waiting, and of `docs` those that may be among the best."""
    if len(docs) == 0:
        return waiting
    left = sought.left
    kept, place = 0, np.searchsorted(left.near, docs[0])
    products, present = np.zeros(len(docs)), np.zeros(len(docs), np.bool_)
    bm25 = np.empty(len(docs))
    for row in range(len(docs)):
        doc = docs[row]
        while place < len(left.near) and left.near[place] < doc:
            place += 1
        if place < len(left.near) and left.near[place] == doc:
            continue
        docs[kept], bm25[kept] = doc, tops[row] * (1.0 + ROUNDING)
        present[kept] = has_vector(sought.about, doc)
        if present[kept] and sought.vectors.kind > 0:
            products[kept] = bound_of(left.code, left.scores, doc, left.farthest)
        kept += 1
    values = reach(sought.first, bm25[:kept], products[:kept], present[:kept], sought.vectors)
    able = np.flatnonzero(values >= tolerant(least_of(hits.best, sought.depth)))
    return Waiting(
        np.concatenate((waiting.docs, docs[able])), np.concatenate((waiting.reach, values[able]))
    )


@compiled
def open_best(sought: Sought, hits: Hits, waiting: Waiting) -> tuple[Hits, Waiting]:
    """Score those who promise most exactly; who cannot be among the best no longer waits."""
    able = np.flatnonzero(waiting.reach >= tolerant(least_of(hits.best, sought.depth)))
    docs, values = waiting.docs[able], waiting.reach[able]
    if len(docs) == 0:
        return hits, Waiting(docs, values)
    count = min(max(sought.depth, FEW), len(docs))
    promising = values >= kth_largest(values, count)
    chosen = docs[promising]
    features = exact(sought.words, sought.barred, chosen, sought.vectors, sought.about)
    scores = scored(sought.first, features)
    hits = Hits(
        np.concatenate((hits.docs, chosen)),
        side_by_side(hits.features, features),
        np.concatenate((hits.scores, scores)),
        best_of(np.concatenate((hits.best, scores)), sought.depth),
        hits.matched,
    )
    return hits, Waiting(docs[~promising], values[~promising])
