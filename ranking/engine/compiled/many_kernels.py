"""Many queries over one segment in one compiled call, one first phase for all.

What `fused_kernels.search` does for one query is done step by step for all of them: codes, rows of
frequent terms and vectors are read from memory once, and meet every query while in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.feature_kernels import Vectors
from ranking.engine.compiled.fused_kernels import Known, added, best_of, known_of
from ranking.engine.compiled.kernels import row_dots
from ranking.engine.compiled.many_layout import Task, barred_of, code_of, vectors_of, words_of
from ranking.engine.compiled.many_scans import best_codes, pursue_all
from ranking.engine.compiled.near_kernels import Nearest, best_products
from ranking.engine.compiled.word_kernels import Hits, Pursuit, WordSearch, begun, ended

__all__ = ["Answers", "search_many"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

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


@compiled
def search_many(task: Task) -> Answers:
    """The best documents for each query, as `fused_kernels.search` finds them for one."""
    codes = best_codes(task)
    products = _products(task.segment.vectors, codes, task.asked.vectors)
    known = [_known(task, q, codes[q], products[q]) for q in range(len(codes))]
    searches = [_search_of(task, q, known[q]) for q in range(len(codes))]
    pursuits = [begun(searches[q], known[q].scores) for q in range(len(codes))]
    if task.by_words:
        pursue_all(task, searches, pursuits)
    return _answers(
        task, known, [ended(searches[q], pursuits[q]) for q in range(len(codes))], pursuits
    )


@compiled
def _answers(task: Task, known: list[Known], hits: list[Hits], pursuits: list[Pursuit]) -> Answers:
    """The best of what is known and what was found, for each query."""
    queries, depth = len(known), task.depth
    found = Answers(
        np.empty((queries, depth), np.int64),
        np.empty((queries, depth)),
        np.empty((queries, 5, depth)),
        np.empty(queries, np.int64),
        np.empty(queries, np.int64),
    )
    for q in range(queries):
        docs, scores, features = best_of(known[q], hits[q], depth)
        size = len(docs)
        found.docs[q, :size] = docs
        found.scores[q, :size] = scores
        found.features[q, :, :size] = features
        found.sizes[q] = size
        found.totals[q] = pursuits[q].matched + added(known[q], task.by_words)
    return found


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
def _known(task: Task, q: int, docs: Docs, products: Doubles) -> Known:
    """One query's nearest, of those whose code is good enough."""
    target = task.segment.near.target
    docs, products = best_products(docs, products, target)
    near = Nearest(docs, products, np.empty(0, np.int32))
    barred, about = barred_of(task, q), task.segment.about
    return known_of(words_of(task, q), barred, near, target, vectors_of(task, q), about, task.first)


@compiled
def _search_of(task: Task, q: int, known: Known) -> WordSearch:
    """What one query's words seek."""
    return WordSearch(
        words_of(task, q),
        barred_of(task, q),
        known.docs,
        known.farthest,
        code_of(task, q),
        task.segment.near.longest,
        vectors_of(task, q),
        task.segment.about,
        task.first,
        task.depth,
    )
