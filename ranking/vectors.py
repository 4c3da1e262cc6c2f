"""Exact vector search, with distances and closeness as Vespa computes them.

Distances (https://docs.vespa.ai/en/reference/schemas/schemas.html#distance-metric, and measured
on a server):
    prenormalized-angular  1 - q.d / |q|^2   (the document is taken to be as long as the query)
    angular                acos(q.d / (|q| |d|))
    euclidean              |q - d|
    dotproduct             -q.d
closeness is 1 / (1 + distance), and for dotproduct the dot product itself. Document and query
are first cut to the field's cells: bfloat16 drops the low 16 bits, int8 drops the fraction.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import kth_largest
from ranking.types import CellType, Distance, QueryError, VectorField

__all__ = [
    "MAX_DISTANCE",
    "VectorIndex",
    "as_floats",
    "cells",
    "closeness_to_distance",
    "nearest",
    "query_vector",
]

MAX_DISTANCE = float(np.finfo(np.float64).max)
BLOCK = 4096

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def cells(vectors: Floats, cell_type: CellType) -> NDArray[np.generic]:
    """Cut float32 vectors to a field's cells: float32, uint16 (the high half) or int8."""
    if cell_type == "bfloat16":
        return (np.ascontiguousarray(vectors).view(np.uint32) >> 16).astype(np.uint16)
    if cell_type == "int8":
        return np.clip(np.trunc(vectors), -128, 127).astype(np.int8)
    return np.ascontiguousarray(vectors, np.float32)


def as_floats(stored: NDArray[np.generic]) -> Floats:
    """Return the numbers that stored cells stand for."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(stored, np.float32)


def query_vector(vector: NDArray[np.floating], field: VectorField) -> Floats:
    """Check a query's vector and cut it to the field's cells.

    Raises QueryError where its length is wrong or a number is not finite.
    """
    found = np.asarray(vector, np.float32)
    if found.shape != (field.dimension,):
        raise QueryError(
            f"The query vector has shape {list(found.shape)}, but {field.name} holds vectors of "
            f"{field.dimension}: encode the query with the index's own encoder."
        )
    if not np.isfinite(found).all():
        raise QueryError("The query vector holds NaN or infinity: check the encoder's input.")
    return as_floats(cells(found, field.cell_type))


def closeness_to_distance(closeness: Doubles, distance: Distance) -> Doubles:
    """Vespa's distance feature; a document without a vector (closeness 0) is infinitely far."""
    if distance == "dotproduct":
        return -closeness
    with np.errstate(divide="ignore"):
        return np.where(closeness > 0, 1.0 / closeness - 1.0, MAX_DISTANCE)


class VectorIndex:
    """One vector field of one segment: cells [documents, dimension], and which rows are there."""

    def __init__(
        self, field: VectorField, stored: NDArray[np.generic], present: NDArray[np.bool_]
    ) -> None:
        self.field = field
        self.stored = stored
        self.present = present

    @cached_property
    def complete(self) -> bool:
        """Whether every document has a vector."""
        return bool(self.present.all())

    @cached_property
    def _floats(self) -> Floats:
        return as_floats(self.stored)

    @cached_property
    def _squares(self) -> Doubles:
        rows = self._floats
        return np.concatenate(
            [
                np.einsum("nd,nd->n", block, block, dtype=np.float64)
                for block in (rows[i : i + BLOCK] for i in range(0, max(len(rows), 1), BLOCK))
            ]
        )

    def dots(self, queries: Floats) -> Floats:
        """Dot products of every document with queries [b, dimension]: float32 [b, documents]."""
        return queries @ self._floats.T if len(queries) > 1 else (self._floats @ queries[0])[None]

    def closeness(
        self, query: Floats, docs: NDArray[np.integer] | None, dots: Floats | None
    ) -> Doubles:
        """Closeness of the documents numbered `docs` (None: of all), float64, exactly.

        dots: products of the query with all documents, where they are at hand.
        """
        which = slice(None) if docs is None else docs
        if self.field.distance == "euclidean":
            difference = self._floats[which].astype(np.float64) - query
            found = 1.0 / (1.0 + np.sqrt(np.einsum("nd,nd->n", difference, difference)))
        else:
            products = self._floats[which] @ query if dots is None else dots[which]
            squares = self._squares[which] if self.field.distance == "angular" else None
            found = _from_products(products.astype(np.float64), query, squares, self.field.distance)
        return found if self.complete else np.where(self.present[which], found, 0.0)

    def order_keys(self, query: Floats, dots: Floats) -> Floats:
        """Numbers that sort documents from near to far when descending, float32 like `dots`."""
        if self.field.distance == "angular":
            lengths = np.sqrt(np.maximum(self._squares, np.finfo(np.float32).tiny))
            return np.asarray(dots / lengths, np.float32)
        if self.field.distance == "euclidean":
            return np.asarray(2.0 * dots - self._squares, np.float32)
        return dots


def _from_products(
    products: Doubles, query: Floats, squares: Doubles | None, distance: Distance
) -> Doubles:
    if distance == "dotproduct":
        return products
    square = float(np.dot(query.astype(np.float64), query.astype(np.float64)))
    if squares is None:
        cosine = np.clip(products / (square or 1.0), -1.0, 1.0)
        return 1.0 / (2.0 - cosine)
    lengths = np.sqrt(square * squares)
    cosine = np.clip(products / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    return 1.0 / (1.0 + np.arccos(cosine))


def nearest(keys: Floats, allowed: NDArray[np.bool_] | None, count: int) -> NDArray[np.int64]:
    """Numbers of the `count` documents of largest key, ascending; ties by ascending number."""
    rows = np.arange(len(keys)) if allowed is None else np.flatnonzero(allowed)
    if count <= 0 or len(rows) <= count:
        return rows[: max(count, 0)]
    values = keys if allowed is None else keys[rows]
    edge = kth_largest(values, count)
    best = np.flatnonzero(values >= edge)
    if len(best) > count:
        tied = best[values[best] == edge]
        best = np.setdiff1d(best, tied[count - len(best) :], assume_unique=True)
    return rows[best]
