"""A query over several segments: what `fused_kernels.search` does for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.feature_kernels import features_of, scored
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.near_kernels import Nearest, nearest
from ranking.engine.compiled.sought import Sought
from ranking.engine.compiled.term_kernels import scores_of
from ranking.engine.compiled.word_kernels import WordSearch, found_by_words
from ranking.engine.phases import top_rows
from ranking.engine.view import View

__all__ = ["search_parts"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]


def search_parts(
    view: View, parts: Sequence[Sought], first: Program, by_words: bool, depth: int
) -> tuple[Docs, Doubles, Doubles, int]:
    """The `depth` best documents, best first, with scores and features; how many were found."""
    near, farthest = _nearest(view, parts)
    found = [(each.docs, _of_near(part, each)) for part, each in zip(parts, near, strict=True)]
    scores = np.concatenate([scored(first, features) for _, features in found])
    total = len(scores)
    if by_words:
        total = sum(int(np.count_nonzero(features[0] == 0.0)) for _, features in found)
        for place, (part, each) in enumerate(zip(parts, near, strict=True)):
            more, matched = found_by_words(
                WordSearch(
                    part.words,
                    part.masks[0],
                    each.docs,
                    farthest,
                    part.near.code,
                    part.near.longest,
                    part.vectors,
                    part.about,
                    first,
                    depth,
                ),
                each.scores,
                scores,
            )
            docs, features = found[place]
            found[place] = (
                np.concatenate([docs, more.docs]),
                np.concatenate([features, more.features], axis=1),
            )
            scores = more.best
            total += matched
    docs, scores, features = _together(view, first, found)
    best = top_rows(scores, docs, depth, view.id_order)
    return docs[best], scores[best], features[:, best], total


def _of_near(part: Sought, near: Nearest) -> Doubles:
    bm25 = scores_of(part.words, part.masks[0], near.docs)
    return features_of(near.docs, bm25, near.products, part.vectors, part.about)


def _together(
    view: View, first: Program, found: Sequence[tuple[Docs, Doubles]]
) -> tuple[Docs, Doubles, Doubles]:
    """Numbers in the whole view, scores and features of all segments' candidates."""
    docs = [each + start for (each, _), start in zip(found, view.offsets[:-1], strict=True)]
    features = np.ascontiguousarray(np.concatenate([each for _, each in found], axis=1))
    return np.concatenate(docs), scored(first, features), features


def _nearest(view: View, parts: Sequence[Sought]) -> tuple[list[Nearest], float]:
    """The nearest in each segment, of all together; and the least product among them.

    NaN where no more documents have vectors.
    """
    target = parts[0].near.target
    found = [
        nearest(
            part.near.code,
            part.vectors.rows,
            part.vectors.query,
            part.masks[1],
            target,
        )
        for part in parts
    ]
    sizes = [len(each.docs) for each in found]
    products = np.concatenate([each.products for each in found])
    if sum(sizes) < target or target <= 0:
        return found, np.nan
    docs = np.concatenate([each.docs for each in found]) + np.repeat(view.offsets[:-1], sizes)
    best = np.zeros(len(docs), np.bool_)
    best[top_rows(products, docs, target, view.id_order)] = True
    kept = zip(found, np.split(best, np.cumsum(sizes)[:-1]), strict=True)
    return [
        each._replace(docs=each.docs[left], products=each.products[left]) for each, left in kept
    ], float(products[best].min())
