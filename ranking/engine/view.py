"""All segments of an index as one numbered row of documents, without those removed.

A view never changes: feeding and removing make a new one, so readers need no lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.term_bounds import NO_WORDS, packed
from ranking.engine.compiled.term_kernels import Words
from ranking.engine.compiled.word_weights import WordWeights
from ranking.engine.phases import top_rows
from ranking.engine.segment.segment import Segment
from ranking.text.query_syntax import Asked
from ranking.types import Coverage, Document, Filter, FilterField, VectorField

__all__ = ["View"]

Mask = NDArray[np.bool_]

NONE = np.empty(0, np.int64)


class View:
    """Documents of several segments, numbered through: segment by segment, then by id.

    segments: (segment, alive) pairs; alive is bool [documents], or None where none was removed.
    exact: compare every vector, even where there are codes to scan.
    """

    def __init__(
        self,
        segments: Sequence[tuple[Segment, Mask | None]],
        fields: Sequence[VectorField],
        *,
        exact: bool = False,
    ) -> None:
        self.parts = tuple(segments)
        self.exact = exact
        self.fields = {field.name: field for field in fields}
        self.offsets = np.zeros(len(self.parts) + 1, np.int64)
        np.cumsum([len(segment) for segment, _ in self.parts], out=self.offsets[1:])
        self._starts: list[int] = self.offsets.tolist()
        self._decoded: NDArray[np.object_] | None = None
        self.words = WordWeights(self.parts)

    @property
    def size(self) -> int:
        """How many document numbers there are, those of removed documents included."""
        return self._starts[-1]

    @property
    def count(self) -> int:
        """How many documents can be found."""
        return self.words.statistics.documents

    @cached_property
    def coverage(self) -> Coverage:
        """What an answer has looked at: all that can be found."""
        return Coverage(documents=self.count)

    @cached_property
    def alive(self) -> Mask | None:
        """Mark the documents that can be found: bool [size]; None where all can."""
        if all(alive is None for _, alive in self.parts):
            return None
        return np.concatenate(
            [np.ones(len(s), np.bool_) if alive is None else alive for s, alive in self.parts]
        )

    @cached_property
    def has_caption(self) -> NDArray[np.float64]:
        """1 or 0 for each document: float64 [size]."""
        return np.concatenate([segment.has_caption for segment, _ in self.parts] or [np.empty(0)])

    def has_vector(self, field: str) -> Mask:
        """Mark the documents with a vector in this field: bool [size]."""
        return np.concatenate(
            [segment.vectors[field].present for segment, _ in self.parts] or [np.empty(0, np.bool_)]
        )

    def complete(self, field: str) -> bool:
        """Whether every document has a vector in this field."""
        return all(segment.vectors[field].complete for segment, _ in self.parts)

    def slices(self) -> Iterator[tuple[int, Segment, slice]]:
        """Yield each segment with its place and the slice of document numbers it holds."""
        for place, (segment, _) in enumerate(self.parts):
            yield place, segment, slice(self._starts[place], self._starts[place + 1])

    def find(self, identifier: str) -> tuple[int, int] | None:
        """Return a document's segment, and its number there; None where there is none."""
        for place, (segment, alive) in enumerate(self.parts):
            found = segment.ids.find(identifier)
            if found >= 0 and (alive is None or alive[found]):
                return place, found
        return None

    def number(self, identifier: str) -> int | None:
        """Return a document's number, None where there is no such document."""
        found = self.find(identifier)
        return None if found is None else found[1] + self._starts[found[0]]

    def _place(self, number: int) -> tuple[Segment, int]:
        """Return a document's segment, and its number there."""
        place = bisect_right(self._starts, number) - 1
        return self.parts[place][0], number - self._starts[place]

    def id(self, number: int) -> str:
        """Return a document's id."""
        segment, place = self._place(number)
        return segment.ids[place]

    def id_order(self, docs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers that sort documents as their ids do."""
        if len(self.parts) == 1:
            return docs
        places = np.argsort(np.asarray([self.id(int(doc)) for doc in docs], object))
        order = np.empty(len(docs), np.int64)
        order[places] = np.arange(len(docs))
        return order

    def ids_of(self, docs: NDArray[np.int64]) -> tuple[str, ...]:
        """Ids of documents by number."""
        if self._decoded is not None:
            return tuple(self._decoded[docs].tolist())
        if len(self.parts) == 1:
            ids = self.parts[0][0].ids
            return tuple([ids[doc] for doc in docs.tolist()])
        return tuple([self.id(doc) for doc in docs.tolist()])

    def decode_ids(self) -> None:
        """Keep all ids as strings from now on: worth it before many queries."""
        if self._decoded is None:
            ids = [identifier for segment, _ in self.parts for identifier in segment.ids]
            self._decoded = np.asarray(ids, object)

    def ids(self) -> Iterator[str]:
        """Ids of the documents that can be found."""
        for segment, alive in self.parts:
            yield from (
                identifier
                for number, identifier in enumerate(segment.ids)
                if alive is None or alive[number]
            )

    def document(self, number: int, *, with_vectors: bool = False) -> Document:
        """Return a document by number."""
        segment, place = self._place(number)
        return segment.document(place, with_vectors=with_vectors)

    def value(self, column: FilterField, number: int) -> str:
        """Return a single-valued column's value for one document."""
        segment, place = self._place(number)
        return segment.value(column, place)

    def having(self, column: FilterField, values: Collection[str]) -> Mask:
        """Mark the documents whose column has any of the values: bool [size]."""
        return np.concatenate(
            [segment.having(column, values) for segment, _ in self.parts] or [np.empty(0, np.bool_)]
        )

    def allowed(self, filters: Sequence[Filter], exclude_ids: Collection[str]) -> Mask | None:
        """Mark the documents that may be found: bool [size]; None where all may."""
        mask = None if self.alive is None else self.alive.copy()
        for condition in filters:
            marked = self.having(condition.field, condition.values)
            marked = ~marked if condition.exclude else marked
            mask = marked if mask is None else mask & marked
        if exclude_ids:
            marked = ~self.having("id", exclude_ids)
            mask = marked if mask is None else mask & marked
        return mask

    def satisfying(self, asked: Asked) -> Mask:
        """Mark the documents that a text's operators permit: bool [size]."""
        mask = np.ones(self.size, np.bool_)
        for phrase in asked.must:
            mask &= self._containing(phrase)
        for phrase in asked.must_not:
            mask &= ~self._containing(phrase)
        permitted = self.allowed(asked.filters, ())
        return mask if permitted is None else mask & permitted

    def _containing(self, phrase: Sequence[str]) -> Mask:
        return np.concatenate(
            [segment.containing(phrase) for segment, _ in self.parts] or [np.empty(0, np.bool_)]
        )

    @cached_property
    def gone(self) -> tuple[Words, ...]:
        """For each segment, a bit for each document, set where it was removed; [0] for none."""
        return tuple(NO_WORDS if alive is None else packed(~alive) for _, alive in self.parts)

    @cached_property
    def without_vector(self) -> dict[str, tuple[Words, ...]]:
        """For each field and segment, a bit for each document, set where it has no vector."""
        return {
            field: tuple(
                NO_WORDS
                if segment.vectors[field].complete
                else packed(~segment.vectors[field].present)
                for segment, _ in self.parts
            )
            for field in self.fields
        }

    def nearest(
        self,
        field: str,
        query: NDArray[np.float32],
        count: int,
        allowed: Mask | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers (ascending) and closeness of the `count` nearest documents."""
        found = [
            segment.vectors[field].nearest(
                query,
                count,
                None if allowed is None else allowed[where],
                exact=self.exact,
            )
            for _, segment, where in self.slices()
        ]
        if len(found) == 1:
            return found[0]
        starts = self._starts[: len(found)]
        docs = np.concatenate([n + s for (n, _), s in zip(found, starts, strict=True)] or [NONE])
        closeness = np.concatenate([each for _, each in found] or [np.empty(0)])
        best = top_rows(closeness, docs, count, self.id_order)
        best.sort()
        return docs[best], closeness[best]

    def closeness(
        self, field: str, query: NDArray[np.float32], docs: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Exact closeness of documents, numbers ascending: float64 [len(docs)]."""
        if len(self.parts) == 1:
            return self.parts[0][0].vectors[field].closeness(query, docs)
        cuts = np.searchsorted(docs, self.offsets)
        parts = [
            segment.vectors[field].closeness(
                query, docs[cuts[place] : cuts[place + 1]] - where.start
            )
            for place, segment, where in self.slices()
        ]
        return np.concatenate(parts or [np.empty(0)])
