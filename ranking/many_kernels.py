"""Many queries over one segment in one compiled call, one first phase for all.

What `fused_kernels.search` does for one query is done step by step for all of them: codes, rows of
frequent terms and vectors are read from memory once, and meet every query while in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.feature_kernels import Vectors, exact, features_of, scored
from ranking.fused_kernels import best_rows
from ranking.kernels import compiled, first_best, kth_largest, row_dots
from ranking.many_demand import Demand, demanded
from ranking.many_layout import Task, barred_of, vectors_of, words_of
from ranking.many_scans import best_codes, best_texts, meeting
from ranking.term_kernels import scores_of

__all__ = ["Answers", "search_many"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Marks = NDArray[np.bool_]

# So many rows of vectors are compared with a query at a time, on average.
SWEEP = 4


class Answers(NamedTuple):
    """For each query its best documents, best first.

    docs: numbers int64 [q, depth]; scores: float64 [q, depth]; features: float64 [q, 5, depth].
    sizes, totals: int64 [q], how many these are, and how many were found.
    """

    docs: Docs
    scores: Doubles
    features: Doubles
    sizes: Docs
    totals: Docs


class Known(NamedTuple):
    """For each query its candidates, ascending; features float64 [5, n]; scores float64 [n]."""

    docs: list[Docs]
    features: list[Doubles]
    scores: list[Doubles]


@compiled
def search_many(task: Task) -> Answers:
    """The best documents for each query, as `fused_kernels.search` finds them for one."""
    near = best_codes(task)
    texts, totals, limits = best_texts(task)
    pools = [_united(near[q], texts[q]) for q in range(len(near))]
    products = _products(task.segment.vectors, [docs for docs, _, _ in pools], task.asked.vectors)
    known, demands = _settled(task, pools, products, limits, totals)
    more = meeting(task, demands, known.docs)
    return _answers(task, known, more, totals)


@compiled
def _united(near: Docs, texts: Docs) -> tuple[Docs, Marks, Marks]:
    """Numbers of either, ascending as both are, and which of them are near, and which by words."""
    docs = np.empty(len(near) + len(texts), np.int64)
    is_near, is_text = np.zeros(len(docs), np.bool_), np.zeros(len(docs), np.bool_)
    a = b = size = 0
    while a < len(near) or b < len(texts):
        by_code = b == len(texts) or (a < len(near) and near[a] <= texts[b])
        by_word = a == len(near) or (b < len(texts) and texts[b] <= near[a])
        docs[size] = near[a] if by_code else texts[b]
        is_near[size], is_text[size] = by_code, by_word
        a += by_code
        b += by_word
        size += 1
    return docs[:size], is_near[:size], is_text[:size]


@compiled
def _products(vectors: Vectors, which: list[Docs], queries: Floats) -> list[Doubles]:
    """Dot products of each query with its documents; all go through the vectors together."""
    products = [np.zeros(len(docs)) for docs in which]
    longest = 0
    for docs in which:
        longest = max(longest, len(docs))
    size = len(vectors.rows) if vectors.kind > 0 else 0
    stride = size // (longest // SWEEP + 1) + 1
    cursors = np.zeros(len(which), np.int64)
    for begin in range(0, size, stride):
        for q in range(len(which)):
            docs, start = which[q], cursors[q]
            stop = start
            while stop < len(docs) and docs[stop] < begin + stride:
                stop += 1
            row_dots(vectors.rows, docs[start:stop], queries[q], products[q][start:stop])
            cursors[q] = stop
    return products


@compiled
def _settled(
    task: Task,
    pools: list[tuple[Docs, Marks, Marks]],
    products: list[Doubles],
    limits: Doubles,
    totals: Docs,
) -> tuple[Known, list[Demand]]:
    """For each query the candidates, and what others need to be among the hits.

    Adds those of the nearest that have no word to `totals`.
    """
    docs = [np.empty(0, np.int64) for _ in pools]
    features = [np.empty((5, 0)) for _ in pools]
    scores = [np.empty(0) for _ in pools]
    demands = [Demand(np.inf, 0.0, limits[:0], np.inf) for _ in pools]
    for q in range(len(pools)):
        own, is_near, is_text = pools[q]
        farthest = _narrowed(is_near, products[q], task.aim.target)
        chosen = np.flatnonzero(is_near | is_text)
        docs[q], is_near = own[chosen], is_near[chosen]
        bm25 = scores_of(words_of(task, q), barred_of(task, q), docs[q])
        for row in range(len(bm25)):
            totals[q] += is_near[row] and (task.aim.texts == 0 or bm25[row] == 0.0)
        vectors = vectors_of(task, q)
        features[q] = features_of(docs[q], bm25, products[q][chosen], vectors, task.segment.about)
        scores[q] = scored(task.first, features[q])
        if limits[q] > 0.0:
            least = kth_largest(scores[q], task.aim.depth)
            demand = demanded(task.first, limits[q], farthest, vectors, least)
            if demand.floor < limits[q]:
                demands[q] = demand
    return Known(docs, features, scores), demands


@compiled
def _narrowed(is_near: Marks, products: Doubles, target: int) -> float:
    """Leave the marks of the `target` nearest only; return the product of the last of them.

    NaN where all documents with a vector are among them.
    """
    among = np.flatnonzero(is_near)
    if target == 0 or len(among) < target:
        return np.nan
    own = products[among]
    farthest = kth_largest(own, target)
    is_near[:] = False
    is_near[among[first_best(own, farthest, target)]] = True
    return farthest


@compiled
def _answers(task: Task, known: Known, more: list[Docs], totals: Docs) -> Answers:
    """The best among the candidates of each query and those that were missing."""
    queries, depth = len(more), task.aim.depth
    found = Answers(
        np.empty((queries, depth), np.int64),
        np.empty((queries, depth)),
        np.empty((queries, 5, depth)),
        np.empty(queries, np.int64),
        totals,
    )
    for q in range(queries):
        docs, features, scores = known.docs[q], known.features[q], known.scores[q]
        if len(more[q]):
            vectors, about = vectors_of(task, q), task.segment.about
            new = exact(words_of(task, q), barred_of(task, q), more[q], vectors, about)
            docs = np.concatenate((docs, more[q]))
            features = np.concatenate((features, new), axis=1)
            scores = np.concatenate((scores, scored(task.first, new)))
        best = best_rows(docs, scores, depth)
        found.sizes[q] = len(best)
        for place, row in enumerate(best):
            found.docs[q, place], found.scores[q, place] = docs[row], scores[row]
            found.features[q, :, place] = features[:, row]
    return found
