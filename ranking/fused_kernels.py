"""A query over one segment in one compiled call: the nearest, and the hits that words find.

numpy's share of a small query is mostly the cost of calling it; here are no such calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.feature_kernels import About, Vectors, features_of, scored, side_by_side
from ranking.kernels import compiled, kth_largest
from ranking.machine import Program
from ranking.near_kernels import Code, nearest
from ranking.term_kernels import Lexicon, Words, scores_of
from ranking.word_kernels import Left, found_by_words

__all__ = ["Near", "best_rows", "search"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]


class Near(NamedTuple):
    """How the nearest are sought: `target` of them, `keep` compared, by a code or without.

    longest: the largest of the code's lengths.
    """

    code: Code
    target: int
    keep: int
    longest: float


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
    found = nearest(near.code, vectors.rows, vectors.query, away, near.target, near.keep)
    docs, bm25 = found.docs, scores_of(words, barred, found.docs)
    features = features_of(docs, bm25, found.products, vectors, about)
    scores, total = scored(first, features), len(docs)
    if by_words:
        farthest = found.products.min() if 0 < near.target <= len(docs) else np.nan
        left = Left(docs, near.code, near.longest, found.scores, farthest)
        more = found_by_words(words, barred, left, vectors, about, first, scores, depth)
        total = more.matched + int(np.count_nonzero(bm25 == 0.0))
        docs = np.concatenate((docs, more.docs))
        features = side_by_side(features, more.features)
        scores = np.concatenate((scores, more.scores))
    best = best_rows(docs, scores, depth)
    shown = np.empty((5, len(best)))
    for place in range(len(best)):
        for row in range(5):
            shown[row, place] = features[row, best[place]]
    return docs[best], scores[best], shown, total


@compiled
def best_rows(docs: Docs, scores: Doubles, count: int) -> Docs:
    """Places of the `count` best scores, best first, of equal ones the lowest number."""
    rows = np.arange(len(scores))
    if len(scores) > count:
        rows = np.flatnonzero(scores >= kth_largest(scores, count))
    rows = rows[np.argsort(docs[rows])]
    order = np.argsort(-scores[rows], kind="mergesort")
    return rows[order[:count]]
