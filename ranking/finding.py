"""A query over several segments: what `fused_kernels.search` does for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.fused_kernels import demanded, exact, missing, scored, unite
from ranking.kernels import kth_largest
from ranking.machine import Program
from ranking.near_kernels import nearest
from ranking.phases import top_rows
from ranking.sought import Sought
from ranking.term_kernels import best_texts
from ranking.view import View

__all__ = ["search_parts"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Near = tuple[Docs, Doubles]

NONE = np.empty(0, np.int64)
NOTHING = np.empty(0)


def search_parts(
    view: View, parts: Sequence[Sought], first: Program, count: int, depth: int
) -> tuple[Docs, Doubles, Doubles, int]:
    """The `depth` best documents, best first, with scores and features; how many were found."""
    near, codes, cut = _nearest(view, parts)
    limit, total = 0.0, sum(len(docs) for docs, _ in near)
    known, features = [], []
    for part, by in zip(parts, near, strict=True):
        docs, bm25, found = NONE, NOTHING, 0
        if count > 0:
            docs, bm25, found = best_texts(part.words, part.masks[0], count)
            limit = max(limit, float(bm25.min()) if len(docs) == count else 0.0)
        joined = unite(part.words, part.masks[0], docs, bm25, *by, part.vectors, part.about)
        known.append(joined[0])
        features.append(joined[1])
        total += found + joined[2] - len(by[0]) if count > 0 else 0
    together = _together(view, first, known, features)
    if limit > 0.0:
        products = [float(each.min()) for _, each in near if cut and len(each)]
        farthest = min(products) if products else np.nan
        least = kth_largest(together[1], depth)
        demand = demanded(first, limit, farthest, parts[0].vectors, least)
        if demand.floor < limit:
            for place, part in enumerate(parts):
                barred = part.masks[0]
                more = missing(
                    part.words,
                    barred,
                    demand,
                    part.near.code,
                    codes[place],
                    part.about,
                    known[place],
                )
                new = exact(part.words, barred, more, part.vectors, part.about)
                known[place] = np.concatenate([known[place], more])
                features[place] = np.concatenate([features[place], new], axis=1)
            together = _together(view, first, known, features)
    docs, scores, all_features = together
    best = top_rows(scores, docs, depth, view.id_order)
    return docs[best], scores[best], all_features[:, best], total


def _together(
    view: View, first: Program, known: Sequence[Docs], features: Sequence[Doubles]
) -> tuple[Docs, Doubles, Doubles]:
    """Numbers in the whole view, scores and features of all segments' candidates."""
    docs = [each + start for each, start in zip(known, view.offsets[:-1], strict=True)]
    joined = np.ascontiguousarray(np.concatenate(features, axis=1))
    return np.concatenate(docs), scored(first, joined), joined


def _nearest(
    view: View, parts: Sequence[Sought]
) -> tuple[list[Near], list[NDArray[np.int32]], bool]:
    """The nearest in each segment, of all together; whether more documents may have vectors.

    Also the products of each segment's codes.
    """
    target = parts[0].near.target
    found, codes = [], []
    for part in parts:
        rows, query = part.vectors.rows, part.vectors.query
        docs, products, scores = nearest(
            part.near.code, rows, query, part.masks[1], target, part.near.keep
        )
        found.append((docs, products))
        codes.append(scores)
    sizes = [len(docs) for docs, _ in found]
    if sum(sizes) <= target:
        return found, codes, 0 < target == sum(sizes)
    docs = np.concatenate([docs for docs, _ in found]) + np.repeat(view.offsets[:-1], sizes)
    best = np.zeros(len(docs), np.bool_)
    products = np.concatenate([products for _, products in found])
    best[top_rows(products, docs, target, view.id_order)] = True
    kept = zip(found, np.split(best, np.cumsum(sizes)[:-1]), strict=True)
    return [(docs[left], products[left]) for (docs, products), left in kept], codes, True
