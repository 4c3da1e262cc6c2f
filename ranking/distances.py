"""Distances: how two vectors are compared, as Vespa computes it.

Distances (https://docs.vespa.ai/en/reference/schemas/schemas.html#distance-metric, and measured
on a server):
    prenormalized-angular  1 - q.d / |q|^2   (the document is taken to be as long as the query)
    angular                acos(q.d / (|q| |d|))
    euclidean              |q - d|
    dotproduct             -q.d
closeness is 1 / (1 + distance), and for dotproduct the dot product itself.

Similarity is the dot product, for `euclidean` minus the squared distance. It is summed in float64
in one fixed order, which ranking/engine/kernels/similarity.cpp follows to the bit; it computes
closeness as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranking.cell_types import as_floats

__all__ = [
    "COSINES",
    "LARGEST_DISTANCE",
    "MAX_DISTANCE",
    "MOST_PRODUCT",
    "NATIVE_METRICS",
    "Distance",
    "closeness",
    "closeness_to_distance",
    "order_keys",
    "similarities",
    "squares",
]

Distance = Literal["prenormalized-angular", "angular", "dotproduct", "euclidean"]

MAX_DISTANCE = float(np.finfo(np.float64).max)
"""Vespa's distance of a document without a vector."""

MOST_PRODUCT = 1e80
"""More than any dot product of vectors that one would make."""

LARGEST_DISTANCE: Mapping[Distance, float] = {
    "prenormalized-angular": 2.0,
    "angular": pi,
    "euclidean": MOST_PRODUCT,
    "dotproduct": MOST_PRODUCT,
}
"""An upper bound on the distance of two vectors."""

NATIVE_METRICS: Mapping[Distance, int] = {
    "prenormalized-angular": 1,
    "dotproduct": 2,
    "angular": 3,
    "euclidean": 4,
}
"""The numbers of `Metric` in ranking/engine/kernels/similarity.h."""

_CLOSENESS = "closeness(field, embedding)"

# 0 where there is nothing to compare: closeness is then 0, and one divided by it infinite.
COSINES: Mapping[Distance, str] = {
    "prenormalized-angular": f"max(0, 2 - 1 / {_CLOSENESS})",
    "angular": f"if ({_CLOSENESS} > 0, max(0, cos(1 / {_CLOSENESS} - 1)), 0)",
    "euclidean": f"max(0, 1 - 0.5 * (1 / {_CLOSENESS} - 1) * (1 / {_CLOSENESS} - 1))",
    "dotproduct": f"max(0, {_CLOSENESS})",
}
"""Expressions of the cosine of unit vectors, 0 below 0, read back from closeness."""

LANES = 16
BLOCK = 4096

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def similarities(rows: NDArray[Any], query: Floats, *, squared_distance: bool = False) -> Doubles:
    """Dot product of each row of cells with the query; or minus the squared distance.

    float64 [len(rows)]. A row's value does not depend on what else is asked for, unlike a matrix
    product's.
    """
    wide = query.astype(np.float64)
    found = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = as_floats(rows[start : start + BLOCK]).astype(np.float64)
        terms = (block - wide) ** 2 if squared_distance else block * wide
        found[start : start + BLOCK] = _summed(terms)
    return -found if squared_distance else found


def squares(rows: NDArray[Any]) -> Doubles:
    """|d|^2, summed as dot products are: so the cosine of a vector with itself is exactly 1."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = as_floats(rows[start : start + BLOCK]).astype(np.float64)
        found[start : start + BLOCK] = _summed(block * block)
    return found


def _summed(terms: Doubles) -> Doubles:
    """Sums of rows: sixteen partial sums, one for every sixteenth term, halved four times."""
    if terms.shape[-1] % LANES:
        terms = np.pad(terms, ((0, 0), (0, -terms.shape[-1] % LANES)))
    lanes = np.add.reduce(terms.reshape(len(terms), -1, LANES), axis=1).T
    for width in (8, 4, 2, 1):
        lanes = lanes[:width] + lanes[width:]
    return np.asarray(lanes[0])


def order_keys(similarity: Doubles, distance: Distance, squared_lengths: Doubles | None) -> Doubles:
    """What orders documents from near to far when descending: float64 [documents].

    squared_lengths: |d|^2 of each; None where similarity is divided by |d| already.
    """
    if distance != "angular" or squared_lengths is None:
        return similarity
    lengths = np.sqrt(squared_lengths)
    return np.divide(similarity, lengths, out=np.zeros(len(similarity)), where=lengths > 0)


def closeness(
    similarity: Doubles, distance: Distance, query_square: float, squared_lengths: Doubles | None
) -> Doubles:
    """Closeness of documents of this similarity to a query of squared length `query_square`.

    float64 [documents]; squared_lengths: as `order_keys` has them.
    """
    if distance == "dotproduct":
        return similarity
    if distance == "euclidean":
        return np.asarray(1.0 / (1.0 + np.sqrt(-similarity)))
    if distance == "prenormalized-angular":
        cosine = np.minimum(np.maximum(similarity / (query_square or 1.0), -1.0), 1.0)
        return np.asarray(1.0 / (2.0 - cosine))
    lengths = np.sqrt(query_square * (1.0 if squared_lengths is None else squared_lengths))
    cosine = np.clip(similarity / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    return np.asarray(1.0 / (1.0 + np.arccos(cosine)))


def closeness_to_distance(found: Doubles, distance: Distance) -> Doubles:
    """Vespa's distance feature; a document without a vector (closeness 0) is infinitely far."""
    if distance == "dotproduct":
        return -found
    with np.errstate(divide="ignore"):
        return np.where(found > 0, 1.0 / found - 1.0, MAX_DISTANCE)
