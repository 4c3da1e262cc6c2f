"""Vector search, with distances and closeness as Vespa computes them.

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

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.kernels import kth_largest, row_dots, row_squares
from ranking.engine.segment.codes import Sketch, exact_sketch, short_sketch
from ranking.types import CellType, Distance, QueryError, VectorField

__all__ = [
    "MAX_DISTANCE",
    "VectorIndex",
    "as_floats",
    "cells",
    "closeness_of_products",
    "closeness_to_distance",
    "query_vector",
    "top",
    "vector_arrays",
]

MAX_DISTANCE = float(np.finfo(np.float64).max)
# From here on int8 codes are scanned in place of the vectors, and from the second number on short
# ones, with which a search is no longer exact.
CODES_FROM = 500
SHORT_CODES_FROM = 10_000
# How many more than asked for are compared again, as float32 sums come in another order there.
SLACK = 16

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def cells(vectors: Floats, cell_type: CellType) -> NDArray[Any]:
    """Cut float32 vectors to a field's cells: float32, uint16 (the high half) or int8."""
    if cell_type == "bfloat16":
        return (np.ascontiguousarray(vectors).view(np.uint32) >> 16).astype(np.uint16)
    if cell_type == "int8":
        return np.clip(np.trunc(vectors), -128, 127).astype(np.int8)
    return np.ascontiguousarray(vectors, np.float32)


def as_floats(stored: NDArray[Any]) -> Floats:
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
    # What is squared and added up is a finite number only if all are: a glance for most vectors.
    if not isfinite(np.dot(found, found)) and not np.isfinite(found).all():
        raise QueryError("The query vector holds NaN or infinity: check the encoder's input.")
    return as_floats(cells(found, field.cell_type))


def closeness_to_distance(closeness: Doubles, distance: Distance) -> Doubles:
    """Vespa's distance feature; a document without a vector (closeness 0) is infinitely far."""
    if distance == "dotproduct":
        return -closeness
    with np.errstate(divide="ignore"):
        return np.where(closeness > 0, 1.0 / closeness - 1.0, MAX_DISTANCE)


class VectorIndex:
    """One vector field of one segment.

    stored: cells [documents, dimension]. present: which rows are there. squares: |d|^2 float64
    [documents], for the metrics that need them. sketch: codes to scan, or None for few documents.
    """

    def __init__(self, field: VectorField, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.field = field
        self.stored = arrays[f"vectors.{field.name}"]
        self.present: NDArray[np.bool_] = arrays[f"present.{field.name}"]
        self.squares: Doubles | None = arrays.get(f"squares.{field.name}")
        self.sketch = Sketch.load(arrays, field.name)

    @cached_property
    def complete(self) -> bool:
        """Whether every document has a vector."""
        return bool(self.present.all())

    @cached_property
    def _floats(self) -> Floats:
        return as_floats(self.stored)

    def nearest(
        self, query: Floats, count: int, allowed: NDArray[np.bool_] | None, *, exact: bool
    ) -> tuple[NDArray[np.int64], Doubles]:
        """Numbers (ascending) and closeness of the `count` nearest documents.

        exact: use codes only where they leave nothing out.
        """
        mask = self.present if allowed is None else self.present & allowed
        among = None if allowed is None and self.complete else mask
        if self.sketch is not None and (self.sketch.certain or not exact):
            rows = self.sketch.candidates(query, count, among)
        else:
            rows = top(self._keys(query), among, count + SLACK)
        closeness = self.closeness(query, rows)
        best = top(closeness, None, count)
        return rows[best], closeness[best]

    def _keys(self, query: Floats) -> Floats:
        """Numbers that sort documents from near to far when descending: float32 [documents]."""
        dots = self._floats @ query
        if self.squares is None:
            return dots
        if self.field.distance == "angular":
            lengths = np.sqrt(np.maximum(self.squares, np.finfo(np.float32).tiny))
            return np.asarray(dots / lengths, np.float32)
        return np.asarray(2.0 * dots - self.squares, np.float32)

    def closeness(self, query: Floats, docs: NDArray[np.int64]) -> Doubles:
        """Closeness of documents by number, exactly: float64 [len(docs)]; 0 without a vector."""
        if self.field.distance == "euclidean":
            difference = as_floats(self.stored[docs]).astype(np.float64) - query
            found = 1.0 / (1.0 + np.sqrt(np.einsum("nd,nd->n", difference, difference)))
        else:
            squares = None if self.squares is None else self.squares[docs]
            found = closeness_of_products(
                self._products(query, docs), query, squares, self.field.distance
            )
        return found if self.complete else np.where(self.present[docs], found, 0.0)

    def _products(self, query: Floats, docs: NDArray[np.int64]) -> Doubles:
        products = np.empty(len(docs))
        if self.stored.dtype == np.float32:
            row_dots(self.stored, docs, query, products)
        else:
            row_dots(as_floats(self.stored[docs]), np.arange(len(docs)), query, products)
        return products


def closeness_of_products(
    products: Doubles, query: Floats, squares: Doubles | None, distance: Distance
) -> Doubles:
    """Closeness from dot products with the query; squares: |d|^2, for the angular metric."""
    if distance == "dotproduct":
        return products
    if squares is None:
        square = float(np.dot(query.astype(np.float64), query.astype(np.float64)))
        cosine = np.clip(products / (square or 1.0), -1.0, 1.0)
        return 1.0 / (2.0 - cosine)
    own = np.empty(1)
    row_squares(query[None], own)
    lengths = np.sqrt(own * squares)
    cosine = np.clip(products / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    return 1.0 / (1.0 + np.arccos(cosine))


def top(keys: NDArray[Any], allowed: NDArray[np.bool_] | None, count: int) -> NDArray[np.int64]:
    """Places of the `count` largest keys, ascending; of equal ones the first are taken."""
    rows = None if allowed is None else np.flatnonzero(allowed)
    values = keys if rows is None else keys[rows]
    if count <= 0 or len(values) <= count:
        return (np.arange(len(keys)) if rows is None else rows)[: max(count, 0)]
    edge = kth_largest(values, count)
    best = np.flatnonzero(values >= edge)
    if len(best) > count:
        tied = np.flatnonzero(values[best] == edge)
        best = np.delete(best, tied[count - len(best) :])
    return best if rows is None else rows[best]


def vector_arrays(
    field: VectorField, vectors: Floats, present: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Lay out one field: float32 [documents, dimension], rows not `present` holding zeros."""
    arrays: dict[str, NDArray[Any]] = {
        f"vectors.{field.name}": cells(vectors, field.cell_type),
        f"present.{field.name}": present,
    }
    if field.distance in ("angular", "euclidean"):
        kept = as_floats(arrays[f"vectors.{field.name}"])
        squares = np.empty(len(kept))
        row_squares(kept, squares)
        arrays[f"squares.{field.name}"] = squares
    count = int(np.count_nonzero(present))
    if field.distance == "euclidean" or count < CODES_FROM:
        return arrays
    # What is compared are the cells as they are kept, so the codes stand for those.
    compared = _directions(as_floats(arrays[f"vectors.{field.name}"]), field.distance)
    if count < SHORT_CODES_FROM:
        return arrays | exact_sketch(compared).arrays(field.name)
    return arrays | short_sketch(compared, present).arrays(field.name)


def _directions(vectors: Floats, distance: Distance) -> Floats:
    """What the codes stand for: vectors whose dot products sort as the metric does."""
    if distance != "angular":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
