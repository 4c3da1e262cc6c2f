"""All segments of an index under one document numbering, without removed documents.

A reader never changes: feeding and removing make a new one, so queries need no lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.engine.segment.labelled import LabelledIndex
from ranking.engine.segment.segment import Segment
from ranking.engine.segment.vectors import QueryVector
from ranking.engine.term_statistics import TermStatistics
from ranking.text.query_syntax import Asked
from ranking.types import TEXTS, Attribute, Coverage, Document, Filter, VectorField

__all__ = ["IndexReader", "Masks"]

Mask = NDArray[np.bool_]
Masks = Sequence[Mask | None]
"""For each segment, which documents may be found: bool [documents], None where all may."""


class IndexReader:
    """Documents of several segments, numbered through: segment by segment, then by id.

    parts: (segment, alive) pairs; alive is bool [documents], or None if none was removed.
    own_fields: fields of one's own; attributes: the same by name.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Segment, Mask | None]],
        fields: Sequence[VectorField],
        own_fields: Sequence[Attribute] = (),
    ) -> None:
        self.parts = tuple(parts)
        self.fields, self.own_fields = tuple(fields), tuple(own_fields)
        self.attributes = {attribute.name: attribute for attribute in own_fields}
        self.offsets = np.zeros(len(self.parts) + 1, np.int64)
        np.cumsum([len(segment) for segment, _ in self.parts], out=self.offsets[1:])
        self._starts: list[int] = self.offsets.tolist()
        self._decoded: NDArray[np.object_] | None = None
        own = [each.name for each in own_fields if each.type == "text"]
        self.texts = {text: TermStatistics(text, self.parts) for text in (*TEXTS, *own)}

    @property
    def size(self) -> int:
        """How many document numbers there are, those of removed documents included."""
        return self._starts[-1]

    @property
    def count(self) -> int:
        """How many documents can be found."""
        return self.texts["caption"].documents

    @cached_property
    def coverage(self) -> Coverage:
        """What an answer has looked at: all that can be found."""
        return Coverage(documents=self.count)

    @property
    def alive(self) -> Masks:
        """Which documents were not removed."""
        return [alive for _, alive in self.parts]

    def find(self, identifier: str) -> tuple[int, int] | None:
        """Return a document's segment, and its number there; None if there is none."""
        for place, (segment, alive) in enumerate(self.parts):
            found = segment.ids.find(identifier)
            if found >= 0 and (alive is None or alive[found]):
                return place, found
        return None

    def number(self, identifier: str) -> int | None:
        """Return a document's number, None if there is no such document."""
        found = self.find(identifier)
        return None if found is None else found[1] + self._starts[found[0]]

    def place(self, number: int) -> tuple[Segment, int]:
        """Return a document's segment, and its number there."""
        place = bisect_right(self._starts, number) - 1
        return self.parts[place][0], number - self._starts[place]

    def id(self, number: int) -> str:
        """Return a document's id."""
        segment, place = self.place(number)
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

    def documents(self) -> Iterator[Document]:
        """The documents that can be found, without their vectors."""
        for segment, alive in self.parts:
            yield from (
                segment.document(number)
                for number in range(len(segment))
                if alive is None or alive[number]
            )

    def document(self, number: int, *, with_vectors: bool = False) -> Document:
        """Return a document by number."""
        segment, place = self.place(number)
        return segment.document(place, with_vectors=with_vectors)

    def closest(self, field: str, query: QueryVector, number: int) -> str:
        """The label of a document's vector nearest to the query's; "" where it has none."""
        segment, place = self.place(number)
        index = segment.vectors[field]
        return index.closest(query, place) if isinstance(index, LabelledIndex) else ""

    def max_sim(
        self, field: str, tokens: NDArray[np.float32], docs: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """MaxSim of a query's token vectors with documents' vectors: float64 [len(docs)]."""
        found = np.zeros(len(docs))
        for row, number in enumerate(docs.tolist()):
            segment, place = self.place(number)
            index = segment.vectors[field]
            if isinstance(index, LabelledIndex):
                found[row] = index.max_sim(tokens, place)
        return found

    def patches(
        self, field: VectorField, docs: NDArray[np.int64], count: int
    ) -> NDArray[np.float32]:
        """Vectors under the labels 0 to count - 1: float32 [docs, count, D], 0 where none is."""
        found = np.zeros((len(docs), count, field.dimension), np.float32)
        for row, number in enumerate(docs.tolist()):
            segment, place = self.place(number)
            index = segment.vectors[field.name]
            labelled = index.of(place) if isinstance(index, LabelledIndex) else {}
            for label in range(count):
                if (vector := labelled.get(str(label))) is not None:
                    found[row, label] = vector
        return found

    def numbers(self, name: str, docs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of a number, date or bool of one's own, NaN where missing: float64 [docs]."""
        found = np.empty(len(docs))
        for segment, own, places in self._by_segment(docs):
            found[own] = segment.numbers(name)[places]
        return found

    def _by_segment(
        self, docs: NDArray[np.int64]
    ) -> Iterator[tuple[Segment, Mask, NDArray[np.int64]]]:
        """Each segment, which of the documents are its own, and their numbers there."""
        for (segment, _), first in zip(self.parts, self._starts[:-1], strict=True):
            own = (docs >= first) & (docs < first + len(segment))
            yield segment, own, docs[own] - first

    def sort_keys(self, column: str, docs: NDArray[np.int64]) -> NDArray[Any]:
        """Numbers that sort documents as their values of a single-valued column do."""
        if column == "id":
            return self.id_order(docs)
        if column in self.attributes and self.attributes[column].type != "keyword":
            return self.numbers(column, docs)
        codes = np.empty(len(docs), np.int64)
        values: list[str] = []
        for segment, own, places in self._by_segment(docs):
            codes[own] = segment.codes(column)[places] + len(values)
            values += segment.values(column)
        order = np.unique(np.asarray(values, object), return_inverse=True)[1]
        return np.asarray(order[codes], np.int64)

    def groups(self, column: str, docs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers that are equal where documents have the same value of a single-valued column.

        A document without a value is a group of its own.
        """
        keys = self.sort_keys(column, docs)
        if keys.dtype.kind == "f":
            missing = np.isnan(keys)
        else:  # of texts "" comes first
            empty = column != "id" and any(
                "" in segment.values(column) for segment, _ in self.parts
            )
            missing = (keys == 0) & empty
        found = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        found[missing] = len(found) + np.arange(int(missing.sum()))
        return found

    def counts(self, column: str, docs: NDArray[np.int64]) -> dict[str, int]:
        """How many of the documents have each value, most frequent first, then by value."""
        found: Counter[str] = Counter()
        for segment, _, places in self._by_segment(docs):
            marked = np.zeros(len(segment), np.bool_)
            marked[places] = True
            found.update(segment.counts(column, marked))
        return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))

    def allowed(self, filters: Sequence[Filter], excluded: Collection[str]) -> Masks:
        """Which documents were not removed, pass the filters, and have none of these ids."""
        masks = self.alive
        for condition in filters:
            masks = _both(masks, [segment.passing(condition) for segment, _ in self.parts])
        return self.without(masks, excluded)

    def without(self, masks: Masks, identifiers: Collection[str]) -> Masks:
        """The masks without the documents of these ids."""
        limited = list(masks)
        for identifier in identifiers:
            found = self.find(identifier)
            if found is None:
                continue
            place, number = found
            mask = limited[place]
            if mask is None:
                limited[place] = mask = np.ones(len(self.parts[place][0]), np.bool_)
            elif mask is masks[place]:
                limited[place] = mask = mask.copy()
            mask[number] = False
        return limited

    def permitted(self, masks: Masks, asked: Asked) -> Masks:
        """The masks without the documents that a text's operators rule out."""
        for phrase in asked.must:
            masks = _both(masks, [segment.containing(phrase) for segment, _ in self.parts])
        for phrase in asked.must_not:
            masks = _both(masks, [~segment.containing(phrase) for segment, _ in self.parts])
        for condition in asked.filters:
            masks = _both(masks, [segment.passing(condition) for segment, _ in self.parts])
        return masks


def _both(masks: Masks, marked: Sequence[Mask]) -> Masks:
    return [own if mask is None else mask & own for mask, own in zip(masks, marked, strict=True)]
