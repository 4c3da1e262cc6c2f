"""What the first phase reads of documents, and its value: exactly, or at most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.kernels import row_dots
from ranking.engine.compiled.machine import Program, run
from ranking.engine.compiled.term_kernels import Lexicon, Words, scores_of

__all__ = [
    "About",
    "Vectors",
    "exact",
    "features_of",
    "having_vector",
    "reach",
    "scored",
    "side_by_side",
    "tolerant",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

MAX_DISTANCE = float(np.finfo(np.float64).max)
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


@compiled
def having_vector(about: About, docs: Docs) -> NDArray[np.bool_]:
    """Which documents have a vector in the profile's field: bool [len(docs)]."""
    if about.any_vector and len(about.present):
        return about.present[docs]
    return np.full(len(docs), about.any_vector)


@compiled
def exact(words: Lexicon, barred: Words, docs: Docs, vectors: Vectors, about: About) -> Doubles:
    """The features of documents, numbers ascending: float64 [5, len(docs)]."""
    dots = np.zeros(len(docs))
    if vectors.kind > 0:
        row_dots(vectors.rows, docs, vectors.query, dots)
    return features_of(docs, scores_of(words, barred, docs), dots, vectors, about)


@compiled
def features_of(
    docs: Docs, bm25: Doubles, products: Doubles, vectors: Vectors, about: About
) -> Doubles:
    """The rows that a program reads (`ranking.engine.compiled.machine`): float64 [5, len(docs)]."""
    features = np.empty((5, len(docs)))
    features[0] = bm25
    features[4] = having_vector(about, docs)
    for place in range(len(docs)):
        features[3, place] = about.has_caption[docs[place]] > 0.0
    _set_closeness(features, products, vectors)
    return features


@compiled
def reach(
    first: Program, bm25: Doubles, products: Doubles, present: NDArray[np.bool_], vectors: Vectors
) -> Doubles:
    """The first phase's value for captioned documents that have so much: float64 [len(bm25)]."""
    features = np.empty((5, len(bm25)))
    features[0], features[3], features[4] = bm25, 1.0, present
    _set_closeness(features, products, vectors)
    return scored(first, features)


@compiled
def scored(program: Program, features: Doubles) -> Doubles:
    """The program's values, NaN as the lowest."""
    values = run(program, features)
    for place in range(len(values)):
        if np.isnan(values[place]):
            values[place] = -np.inf
    return values


@compiled
def side_by_side(left: Doubles, right: Doubles) -> Doubles:
    """Features of two lots of documents in one array: by numpy's function it takes 0.1 ms."""
    size = left.shape[1]
    both = np.empty((5, size + right.shape[1]))
    for row in range(5):
        for place in range(size):
            both[row, place] = left[row, place]
        for place in range(right.shape[1]):
            both[row, size + place] = right[row, place]
    return both


@compiled
def tolerant(least: float) -> float:
    """A little below a score."""
    return least * (1.0 - ROUNDING) if least > 0.0 else least * (1.0 + ROUNDING)


@compiled
def _set_closeness(features: Doubles, products: Doubles, vectors: Vectors) -> None:
    """Set documents' closeness and distance, as `ranking.engine.segment.vectors` defines them."""
    closeness, distance, present = features[1], features[2], features[4]
    if vectors.kind == 0:
        closeness[:], distance[:] = 0.0, MAX_DISTANCE
        return
    if vectors.kind == 2:
        for place in range(len(products)):
            closeness[place] = products[place] if present[place] > 0.0 else 0.0
            distance[place] = -closeness[place]
        return
    square = vectors.square if vectors.square > 0.0 else 1.0
    for place in range(len(products)):
        cosine = products[place] / square
        cosine = cosine if cosine < 1.0 else 1.0
        cosine = cosine if cosine > -1.0 else -1.0
        close = 1.0 / (2.0 - cosine)
        closeness[place] = close if present[place] > 0.0 else 0.0
        distance[place] = 1.0 / close - 1.0 if present[place] > 0.0 else MAX_DISTANCE
