"""A query over one segment in one compiled call: the nearest, and the hits that words find.

numpy's share of a small query is mostly the cost of calling it; here are no such calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import ZERO, compiled
from ranking.engine.compiled.feature_kernels import (
    About,
    Vectors,
    features_of,
    scored,
    side_by_side,
)
from ranking.engine.compiled.kernels import kth_largest
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.near_kernels import Code, Nearest, nearest
from ranking.engine.compiled.term_kernels import Lexicon, Words, scores_of
from ranking.engine.compiled.word_kernels import Hits, WordSearch, begun, ended, pursued

__all__ = ["Known", "Near", "added", "best_of", "known_of", "search"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]


class Near(NamedTuple):
    """How the nearest are sought: `target` of them, by a code or without.

    longest: the largest of the code's lengths.
    """

    code: Code
    target: int
    longest: float


class Known(NamedTuple):
    """The nearest documents, scored: numbers, features float64 [5, n], scores.

    farthest: the dot product of the last of them, NaN where no other has a vector to compare.
    """

    docs: Docs
    features: Doubles
    scores: Doubles
    farthest: float


@compiled
def search(
    words: Lexicon,
    near: Near,
    vectors: Vectors,
    about: About,
    masks: tuple[Words, Words],
    first: Program,
    by_words: bool,
    depth: int,
) -> tuple[Docs, Doubles, Doubles, int]:
    """The `depth` best documents of one segment, best first, by a first phase that rises.

    masks: bits of documents that words, and that vectors, cannot find. by_words: whether words find
    documents at all. Returns numbers, scores, features float64 [5, n], and how many documents were
    found.
    """
    barred, away = masks
    found = nearest(near.code, vectors.rows, vectors.query, away, near.target)
    known = known_of(words, barred, found, near.target, vectors, about, first)
    wanted = WordSearch(
        words,
        barred,
        known.docs,
        known.farthest,
        near.code,
        near.longest,
        vectors,
        about,
        first,
        depth,
    )
    pursuit = begun(wanted, known.scores)
    if by_words:
        pursuit = pursued(wanted, pursuit, found.scores, ZERO, len(words.norms))
    docs, scores, features = best_of(known, ended(wanted, pursuit), depth)
    return docs, scores, features, pursuit.matched + added(known, by_words)


@compiled
def known_of(
    words: Lexicon,
    barred: Words,
    near: Nearest,
    target: int,
    vectors: Vectors,
    about: About,
    first: Program,
) -> Known:
    """Score the nearest documents, of which `target` were wanted."""
    bm25 = scores_of(words, barred, near.docs)
    features = features_of(near.docs, bm25, near.products, vectors, about)
    farthest = near.products.min() if 0 < target <= len(near.docs) else np.nan
    return Known(near.docs, features, scored(first, features), farthest)


@compiled
def added(known: Known, by_words: bool) -> int:
    """How many of the nearest words did not find, if they look for documents at all."""
    return int(np.count_nonzero(known.features[0] == 0.0)) if by_words else len(known.docs)


@compiled
def best_of(known: Known, hits: Hits, depth: int) -> tuple[Docs, Doubles, Doubles]:
    """The `depth` best of both, best first: numbers, scores, features float64 [5, n]."""
    docs = np.concatenate((known.docs, hits.docs))
    scores = np.concatenate((known.scores, hits.scores))
    features = side_by_side(known.features, hits.features)
    best = best_rows(docs, scores, depth)
    shown = np.empty((5, len(best)))
    for place in range(len(best)):
        for row in range(5):
            shown[row, place] = features[row, best[place]]
    return docs[best], scores[best], shown


@compiled
def best_rows(docs: Docs, scores: Doubles, count: int) -> Docs:
    """Places of the `count` best scores, best first, of equal ones the lowest number."""
    rows = np.arange(len(scores))
    if len(scores) > count:
        rows = np.flatnonzero(scores >= kth_largest(scores, count))
    rows = rows[np.argsort(docs[rows])]
    order = np.argsort(-scores[rows], kind="mergesort")
    return rows[order[:count]]
