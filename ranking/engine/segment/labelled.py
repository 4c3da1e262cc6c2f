"""Fields with several labelled vectors per document, and MaxSim.

The vectors of all documents are stored in one array, those of a document side by side; `starts`
has the first row of each document. Vespa counts documents, not vectors,
among target hits (measured), so the largest similarity of each is taken before the nearest
documents are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.cell_types import as_floats
from ranking.engine.segment.strings import StringTable, string_arrays
from ranking.engine.segment.vectors import (
    Docs,
    Doubles,
    Floats,
    Mask,
    QueryVector,
    VectorIndex,
    query_vector,
    vector_arrays,
)
from ranking.engine.top_k import top_k
from ranking.types import VectorField

__all__ = ["LabelledIndex", "Rows", "closeness_by_label", "labelled_arrays"]

Rows = Callable[[int, Mask | None], tuple[Docs, Doubles]]
"""Finds the nearest of all vectors, of those allowed: how many -> their rows and similarity."""


class LabelledIndex(VectorIndex):
    """One field of several vectors a document, of one segment.

    Similarity of a document is the largest order key of its vectors.
    """

    @cached_property
    def rows(self) -> VectorIndex:
        """All vectors, as if each were a document."""
        return VectorIndex(replace(self.field, labels=""), self._arrays)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first row of each document, and the end of the last one."""
        return self._arrays[f"starts.{self.field.name}"]

    @cached_property
    def present(self) -> Mask:
        """Which documents have a vector: bool [documents]."""
        return np.diff(self.starts) > 0

    @cached_property
    def squares(self) -> None:
        """None: a document's similarity is divided by lengths already."""

    @cached_property
    def _owners(self) -> Docs:
        return np.repeat(np.arange(len(self.present)), np.diff(self.starts))

    @cached_property
    def _labels(self) -> StringTable:
        return StringTable(self._arrays, f"labels.{self.field.name}")

    def of(self, number: int) -> dict[str, Floats]:
        """One document's vectors by label, as they are stored."""
        rows = range(int(self.starts[number]), int(self.starts[number + 1]))
        return {self._labels[row]: as_floats(self.stored[row]) for row in rows}

    def similarity(self, query: QueryVector, docs: Docs) -> Doubles:
        """Largest order key of each document's vectors: float64 [len(docs)]; 0 without any."""
        return self.largest(docs, lambda rows: self.rows.similarity(query, rows))

    def largest(self, docs: Docs, similarity: Callable[[Docs], Doubles]) -> Doubles:
        """The same, similarity of rows computed by either route."""
        sizes = self.starts[docs + 1] - self.starts[docs]
        found, some = np.zeros(len(docs)), sizes > 0
        if some.any():
            ends = np.cumsum(sizes[some])
            firsts = ends - sizes[some]
            rows = np.repeat(self.starts[docs[some]] - firsts, sizes[some]) + np.arange(ends[-1])
            keys = self.rows.order_keys(rows, similarity(rows))
            found[some] = np.maximum.reduceat(keys, firsts)
        return found

    def nearest(self, query: QueryVector, count: int, allowed: Mask | None) -> tuple[Docs, Doubles]:
        """Numbers, ascending, and similarity of the `count` nearest documents."""
        return self.nearest_of(lambda *asked: self.rows.nearest(query, *asked), count, allowed)

    def nearest_of(self, nearest: Rows, count: int, allowed: Mask | None) -> tuple[Docs, Doubles]:
        """The same, rows found by either route: so many that they are of `count` documents.

        Of rows that tie the first are found, and so are the first documents.
        """
        own = None if allowed is None else allowed[self._owners]
        total = len(self._owners) if own is None else int(np.count_nonzero(own))
        asked = count
        while True:
            asked = min(2 * asked, total) if count else 0
            rows, similarity = nearest(asked, own)
            docs, firsts = np.unique(self._owners[rows], return_index=True)
            if len(docs) >= count or asked >= total:
                break
        if not len(docs):
            return docs, np.zeros(0)
        found = np.maximum.reduceat(self.rows.order_keys(rows, similarity), firsts)
        best = top_k(found, count)
        return docs[best], found[best]

    def max_sim(self, tokens: Floats, number: int) -> float:
        """Sum over the query's tokens [T, dimension] of the similarity with the nearest vector.

        MaxSim of ColBERT (Khattab and Zaharia 2020, equation 3); 0 without vectors.
        """
        rows = slice(int(self.starts[number]), int(self.starts[number + 1]))
        if rows.start == rows.stop or not len(tokens):
            return 0.0
        vectors = as_floats(self.stored[rows]).astype(np.float64)
        return float((tokens.astype(np.float64) @ vectors.T).max(axis=1).sum())

    def closest(self, query: QueryVector, number: int) -> str:
        """The label of a document's nearest vector, of equal ones the first; "" without any."""
        rows = np.arange(self.starts[number], self.starts[number + 1])
        if not len(rows):
            return ""
        keys = self.rows.order_keys(rows, self.rows.similarity(query, rows))
        return self._labels[int(rows[keys.argmax()])]


def closeness_by_label(
    field: VectorField, labelled: Mapping[str, Floats], vector: Floats
) -> dict[str, float]:
    """Closeness of each of a document's vectors to a query's, by label."""
    index = LabelledIndex(field, labelled_arrays(field, [labelled])).rows
    query, rows = query_vector(vector, field), np.arange(len(labelled))
    found = index.closeness(query, rows, index.similarity(query, rows))
    return dict(zip(labelled, found.tolist(), strict=True))


def labelled_arrays(
    field: VectorField, labelled: Sequence[Mapping[str, Floats]]
) -> dict[str, NDArray[Any]]:
    """Lay out one field; labelled: each document's vectors by label."""
    starts = np.zeros(len(labelled) + 1, np.int64)
    np.cumsum([len(each) for each in labelled], out=starts[1:])
    found = [vector for each in labelled for vector in each.values()]
    vectors = np.asarray(found, np.float32).reshape(len(found), field.dimension)
    labels = [label.encode() for each in labelled for label in each]
    return {
        **vector_arrays(field, vectors, np.ones(len(vectors), np.bool_)),
        **string_arrays(f"labels.{field.name}", labels),
        f"starts.{field.name}": starts,
    }
