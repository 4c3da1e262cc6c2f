"""A query over one segment in one compiled call: candidates, scores, and who else may be a hit.

numpy's share of a small query is mostly the cost of calling it; here are no such calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import compiled, kth_largest, row_dots
from ranking.machine import Program, run
from ranking.near_kernels import Code, bound_of, nearest
from ranking.term_kernels import Lexicon, Words, best_texts, rough_texts, scores_of

__all__ = [
    "About",
    "Near",
    "Vectors",
    "demanded",
    "exact",
    "missing",
    "scored",
    "search",
    "unite",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

MAX_DISTANCE = float(np.finfo(np.float64).max)
STEPS = 32
GRID = 24
# A function that rises may still fall by a rounding error.
ROUNDING = 1e-12


class Vectors(NamedTuple):
    """A segment's vectors float32 [n, dimension], the query's, and what closeness is.

    square: |query|^2. kind: 0 without vectors (closeness is 0), 1 prenormalized-angular, 2
    dotproduct.
    """

    rows: Floats
    query: Floats
    square: float
    kind: int


class About(NamedTuple):
    """What documents have: has_caption float64 [n]; present bool [n], [0] where all have vectors.

    any_vector: whether the profile compares vectors at all.
    """

    has_caption: Doubles
    present: NDArray[np.bool_]
    any_vector: bool


class Near(NamedTuple):
    """How the nearest are sought: `target` of them, `keep` compared, by a code or without."""

    code: Code
    target: int
    keep: int


@compiled
def search(
    words: Lexicon,
    near: Near,
    vectors: Vectors,
    about: About,
    masks: tuple[Words, Words],
    first: Program,
    count: int,
    depth: int,
) -> tuple[Docs, Doubles, Doubles, int]:
    """The `depth` best documents of one segment, best first, by a first phase that rises.

    masks: bits of documents that words, and that vectors, cannot find. count: how many to take by
    words at first, 0 where words find nothing. Returns numbers, scores, features float64 [5, n],
    and how many documents were found.
    """
    barred, away = masks
    rows, query = vectors.rows, vectors.query
    by, products, codes = nearest(near.code, rows, query, away, near.target, near.keep)
    texts, bm25, total, limit = by[:0], products[:0], len(by), 0.0
    if count > 0:
        texts, bm25, total = best_texts(words, barred, count)
        if len(texts) == count:
            limit = bm25.min()
    docs, features, alone = unite(words, barred, texts, bm25, by, products, vectors, about)
    total += alone if count > 0 else 0
    scores = scored(first, features)
    if limit > 0.0:
        farthest = products.min() if 0 < near.target <= len(by) else np.nan
        least = kth_largest(scores, depth)
        demand = demanded(first, limit, farthest, vectors, least)
        if demand.floor < limit:
            more = missing(words, barred, demand, near.code, codes, about, docs)
            if len(more):
                new = exact(words, barred, more, vectors, about)
                docs = np.concatenate((docs, more))
                features = np.concatenate((features, new), axis=1)
                scores = np.concatenate((scores, scored(first, new)))
    best = best_rows(docs, scores, depth)
    shown = np.empty((5, len(best)))
    for place in range(len(best)):
        shown[:, place] = features[:, best[place]]
    return docs[best], scores[best], shown, total


class Demand(NamedTuple):
    """What a document left out must have to reach the last hit wanted.

    BM25 above `floor`; for each `step` of BM25 a dot product above that in `products`, or, without
    a vector, a BM25 above `lone`.
    """

    floor: float
    step: float
    products: Doubles
    lone: float


@compiled
def demanded(
    first: Program, limit: float, farthest: float, vectors: Vectors, least: float
) -> Demand:
    """What a document left out needs to score `least`.

    It has a caption; its BM25 is at most `limit`, and its product at most `farthest` (NaN: all
    documents with a vector are taken, or the query has none).
    """
    step, edge = limit / STEPS, tolerant(least)
    lone = _lowest_step(first, limit, vectors, False, np.nan, edge)
    reached = lone
    products = np.full(STEPS, np.inf)
    if vectors.kind == 0 or not np.isnan(farthest):
        reached = min(lone, _lowest_step(first, limit, vectors, True, farthest, edge))
        products[reached:] = _least_products(
            first, step * np.arange(reached + 1.0, STEPS + 1.0), farthest, vectors, edge
        )
    return Demand(step * reached, step, products, step * lone)


@compiled
def _lowest_step(
    first: Program, limit: float, vectors: Vectors, present: bool, product: float, edge: float
) -> int:
    """The first step of BM25 at whose upper end the score reaches `edge`; STEPS for none."""
    features = np.zeros((5, STEPS))
    for step in range(STEPS):
        features[0, step] = limit * (step + 1) / STEPS
        _about(features, step, True, present, product, vectors)
    reach = scored(first, features)
    for step in range(STEPS):
        if reach[step] >= edge:
            return step
    return STEPS


@compiled
def _least_products(
    first: Program, bm25: Doubles, farthest: float, vectors: Vectors, edge: float
) -> Doubles:
    """For each BM25 a product up to which documents with at most this BM25 cannot reach `edge`."""
    if vectors.kind == 0:
        return np.full(len(bm25), -np.inf)
    features = np.zeros((5, len(bm25) * GRID))
    start = -vectors.square if vectors.kind == 1 else farthest - 2.0 * abs(farthest)
    step = (farthest - start) / GRID
    for place in range(features.shape[1]):
        features[0, place] = bm25[place // GRID]
        _about(features, place, True, True, start + step * (place % GRID + 1), vectors)
    reach = scored(first, features).reshape(len(bm25), GRID)
    found = np.full(len(bm25), np.inf)
    for row in range(len(bm25)):
        for place in range(GRID):
            if reach[row, place] >= edge:
                found[row] = start + step * place if place else -np.inf
                break
    return found


@compiled
def missing(
    words: Lexicon,
    barred: Words,
    demand: Demand,
    code: Code,
    codes: NDArray[np.int32],
    about: About,
    known: Docs,
) -> Docs:
    """Documents, ascending, that are not `known` (ascending) and meet the demand.

    codes: products of the codes, or [0].
    """
    docs, tops, _ = rough_texts(words, barred, len(words.norms), demand.floor)
    kept, place = 0, 0
    for row in range(len(docs)):
        doc = docs[row]
        while place < len(known) and known[place] < doc:
            place += 1
        if place < len(known) and known[place] == doc:
            continue
        if len(about.present) == 0 or about.present[doc]:
            step = min(int(tops[row] / demand.step), STEPS - 1)
            wanted = demand.products[step]
            if code.unit > 0.0 and len(codes) and wanted > -np.inf:
                meets = bound_of(code, codes, doc) > wanted
            else:
                meets = wanted < np.inf
        else:
            meets = tops[row] > demand.lone
        if meets:
            docs[kept] = doc
            kept += 1
    return docs[:kept]


@compiled
def exact(words: Lexicon, barred: Words, docs: Docs, vectors: Vectors, about: About) -> Doubles:
    """The features of documents, numbers ascending: float64 [5, len(docs)]."""
    dots = np.zeros(len(docs))
    if vectors.kind > 0:
        row_dots(vectors.rows, docs, vectors.query, dots)
    return _features(docs, scores_of(words, barred, docs), dots, vectors, about)


@compiled
def scored(program: Program, features: Doubles) -> Doubles:
    """The program's values, NaN as the lowest."""
    values = run(program, features)
    for place in range(len(values)):
        if np.isnan(values[place]):
            values[place] = -np.inf
    return values


@compiled
def tolerant(least: float) -> float:
    """A little below a score."""
    return least * (1.0 - ROUNDING) if least > 0.0 else least * (1.0 + ROUNDING)


@compiled
def _features(docs: Docs, bm25: Doubles, dots: Doubles, vectors: Vectors, about: About) -> Doubles:
    """The rows that a program reads (`ranking.machine`): float64 [5, len(docs)]."""
    features = np.zeros((5, len(docs)))
    features[0] = bm25
    for row in range(len(docs)):
        present = len(about.present) == 0 or about.present[docs[row]]
        captioned = about.has_caption[docs[row]] > 0.0
        _about(features, row, captioned, present and about.any_vector, dots[row], vectors)
    return features


@compiled
def _about(
    features: Doubles, row: int, captioned: bool, present: bool, product: float, vectors: Vectors
) -> None:
    """Set all but the BM25 of one document."""
    features[3, row], features[4, row] = captioned, present
    if present and vectors.kind > 0:
        _closeness(features, row, product, vectors)
    else:
        features[2, row] = -0.0 if vectors.kind == 2 else MAX_DISTANCE


@compiled
def _closeness(features: Doubles, row: int, product: float, vectors: Vectors) -> None:
    """Set a document's closeness and distance, as `ranking.vectors` defines them."""
    if vectors.kind == 2:
        features[1, row] = product
        features[2, row] = -product
        return
    cosine = min(max(product / (vectors.square if vectors.square > 0.0 else 1.0), -1.0), 1.0)
    features[1, row] = 1.0 / (2.0 - cosine)
    features[2, row] = 1.0 / features[1, row] - 1.0


@compiled
def best_rows(docs: Docs, scores: Doubles, count: int) -> Docs:
    """Places of the `count` best scores, best first, of equal ones the lowest number."""
    rows = np.arange(len(scores))
    if len(scores) > count:
        rows = np.flatnonzero(scores >= kth_largest(scores, count))
    rows = rows[np.argsort(docs[rows])]
    order = np.argsort(-scores[rows], kind="mergesort")
    return rows[order[:count]]


@compiled
def unite(
    words: Lexicon,
    barred: Words,
    texts: Docs,
    scores: Doubles,
    near: Docs,
    products: Doubles,
    vectors: Vectors,
    about: About,
) -> tuple[Docs, Doubles, int]:
    """The numbers in `texts` (with BM25) or `near` (with products), ascending, and features.

    Also returns how many of `near` have no word.
    """
    of_near = scores_of(words, barred, near)
    alone = 0
    for score in of_near:
        alone += score == 0.0
    docs = np.concatenate((near, texts))
    bm25 = np.concatenate((of_near, scores))
    order = np.argsort(docs, kind="mergesort")
    others, places = np.empty(len(docs), np.int64), np.empty(len(docs), np.int64)
    kept, left = 0, 0
    dots = np.zeros(len(docs))
    united, of_words = np.empty(len(docs), np.int64), np.empty(len(docs))
    for place in order:
        if kept and docs[place] == united[kept - 1]:
            continue
        united[kept], of_words[kept] = docs[place], bm25[place]
        if place < len(near):
            dots[kept] = products[place]
        else:
            others[left], places[left] = docs[place], kept
            left += 1
        kept += 1
    if vectors.kind > 0:
        more = np.empty(left)
        row_dots(vectors.rows, others[:left], vectors.query, more)
        for each in range(left):
            dots[places[each]] = more[each]
    united = united[:kept]
    return united, _features(united, of_words[:kept], dots[:kept], vectors, about), alone
