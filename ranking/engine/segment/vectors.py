"""Vectors of one field in one segment: the nearest, and closeness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.cell_types import as_floats, cells
from ranking.distances import Distance, closeness, order_keys, similarities, squares
from ranking.engine.segment.codes import Codes, exact_codes, short_codes
from ranking.engine.top_k import kth_largest, top_k
from ranking.types import QueryError, VectorField

__all__ = [
    "QueryVector",
    "VectorIndex",
    "query_vector",
    "vector_arrays",
]

# From here on int8 codes are scanned in place of the vectors, and from the second number on short
# ones, with which a search is no longer exact.
CODES_FROM = 500
SHORT_CODES_FROM = 10_000
# Unit roundoff of float32.
ROUNDOFF = 2.0**-24

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class QueryVector:
    """A query's vector, cut to the field's cells: float32 [dimension]."""

    values: Floats

    @cached_property
    def square(self) -> float:
        """|q|^2, summed as similarities are."""
        return float(squares(self.values[None])[0])


def query_vector(vector: NDArray[np.floating], field: VectorField) -> QueryVector:
    """Check a query's vector and cut it to the field's cells.

    Raises QueryError if its length is wrong or a number is not finite.
    """
    found = np.asarray(vector, np.float32)
    if found.shape != (field.dimension,):
        raise QueryError(
            f"The query vector has shape {list(found.shape)}, but {field.name} holds vectors of "
            f"{field.dimension}: encode the query with the index's own encoder."
        )
    # What is squared and added up is a finite number only if all are: a glance for most vectors.
    if not isfinite(np.dot(found, found)) and not np.isfinite(found).all():
        raise QueryError("The query vector contains NaN or infinity: check the encoder's input.")
    return QueryVector(as_floats(cells(found, field.cell_type)))


class VectorIndex:
    """One vector field of one segment; an array is read when it is first used."""

    def __init__(self, field: VectorField, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.field = field
        self._arrays = arrays
        self.native: Any = None
        """What ranking/engine/native.py keeps for it."""

    @cached_property
    def stored(self) -> NDArray[Any]:
        """The vectors' cells [documents, dimension]."""
        return self._arrays[f"vectors.{self.field.name}"]

    @cached_property
    def present(self) -> Mask:
        """Which documents have a vector: bool [documents]."""
        return self._arrays[f"present.{self.field.name}"]

    @cached_property
    def squares(self) -> Doubles | None:
        """|d|^2, float64 [documents], for the metrics that need it."""
        return self._arrays.get(f"squares.{self.field.name}")

    def _squares(self, docs: Docs) -> Doubles | None:
        return None if self.squares is None else self.squares[docs]

    @cached_property
    def codes(self) -> Codes | None:
        """What is scanned in place of the vectors; None for few documents."""
        return Codes.load(self._arrays, self.field.name)

    @cached_property
    def complete(self) -> bool:
        """Whether every document has a vector."""
        return bool(self.present.all())

    def similarity(self, query: QueryVector, docs: Docs) -> Doubles:
        """Similarity of documents by number: float64 [len(docs)]."""
        squared = self.field.distance == "euclidean"
        return similarities(self.stored[docs], query.values, squared_distance=squared)

    def order_keys(self, docs: Docs, similarity: Doubles) -> Doubles:
        """What orders documents from near to far when descending: float64 [len(docs)]."""
        return order_keys(similarity, self.field.distance, self._squares(docs))

    def closeness(self, query: QueryVector, docs: Docs, similarity: Doubles) -> Doubles:
        """Closeness of documents of this similarity: float64 [len(docs)]; 0 without a vector."""
        found = closeness(similarity, self.field.distance, query.square, self._squares(docs))
        return found if self.complete else np.where(self.present[docs], found, 0.0)

    def nearest(self, query: QueryVector, count: int, allowed: Mask | None) -> tuple[Docs, Doubles]:
        """Numbers, ascending, and similarity of the `count` nearest; ties go to the lower number.

        allowed: which documents may be found; None: all that have a vector. Every vector is
        compared: in float32 to find all that can be among the nearest, and those in float64.
        """
        docs = np.flatnonzero(self.present if allowed is None else allowed)
        if 0 < count < len(docs):
            keys, error = self._rough_keys(query, docs)
            docs = docs[keys >= kth_largest(keys, count) - 2.0 * error]
        similarity = self.similarity(query, docs)
        best = top_k(self.order_keys(docs, similarity), count)
        return docs[best], similarity[best]

    def _rough_keys(self, query: QueryVector, docs: Docs) -> tuple[Doubles, float]:
        """Order keys of documents from float32 products, and how wrong one can be at most."""
        products = (self._floats @ query.values)[docs].astype(np.float64)
        length = np.sqrt(query.square)
        # Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
        relative = 1.01 * self.field.dimension * ROUNDOFF
        if self.field.distance == "angular":
            return self.order_keys(docs, products), relative * length
        error = relative * length * self._longest
        if self.field.distance != "euclidean" or self.squares is None:
            return products, error
        return 2.0 * products - self.squares[docs] - query.square, 2.0 * error + 1e-12 * (
            query.square + self._longest**2
        )

    @cached_property
    def _floats(self) -> Floats:
        return as_floats(self.stored)

    @cached_property
    def _longest(self) -> float:
        """Length of the longest vector, a little more."""
        squares = np.einsum("nd,nd->n", self._floats, self._floats)
        return 1.001 * float(np.sqrt(squares.max(initial=0.0)))


def vector_arrays(field: VectorField, vectors: Floats, present: Mask) -> dict[str, NDArray[Any]]:
    """Lay out one field: float32 [documents, dimension], rows not `present` holding zeros."""
    stored = cells(vectors, field.cell_type)
    arrays: dict[str, NDArray[Any]] = {
        f"vectors.{field.name}": stored,
        f"present.{field.name}": present,
    }
    if field.distance in ("angular", "euclidean"):
        arrays[f"squares.{field.name}"] = squares(stored)
    count = int(np.count_nonzero(present))
    if field.distance == "euclidean" or count < CODES_FROM:
        return arrays
    # What is compared are the cells as they are kept, so the codes stand for those.
    compared = _directions(as_floats(stored), field.distance)
    if count < SHORT_CODES_FROM:
        return arrays | exact_codes(compared).arrays(field.name)
    return arrays | short_codes(compared, present).arrays(field.name)


def _directions(vectors: Floats, distance: Distance) -> Floats:
    """What the codes stand for: vectors whose dot products sort as the metric does."""
    if distance != "angular":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
