"""A segment: an immutable block of documents as flat arrays.

A segment is nothing but named flat arrays, so that the one in memory and the one opened by
memory map are the same thing. Documents stand in ascending order of id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.attributes import bounds, is_number, number_of, shown_number, told, value_of
from ranking.cell_types import as_floats
from ranking.engine.segment.labelled import LabelledIndex, labelled_arrays
from ranking.engine.segment.postings import TextIndex, text_arrays
from ranking.engine.segment.strings import StringTable, string_arrays
from ranking.engine.segment.vectors import VectorIndex, vector_arrays
from ranking.text.fields import texts_of
from ranking.text.tokens import query_terms, tokenize
from ranking.types import (
    DOCUMENT_FIELDS,
    FILTER_FIELDS,
    MULTIVALUED,
    TEXTS,
    Attribute,
    Document,
    Filter,
    VectorField,
)

__all__ = ["Arrays", "Segment", "segment_arrays"]

Arrays = Mapping[str, NDArray[Any]]

COLUMNS = tuple(field for field in FILTER_FIELDS if field != "id")


def segment_arrays(
    documents: Sequence[Document],
    fields: Sequence[VectorField],
    tokens: Callable[[str], Sequence[str]] = tokenize,
    attributes: Sequence[Attribute] = (),
) -> dict[str, NDArray[Any]]:
    """Lay out documents (ids unique) as arrays; `tokens` cuts a text into terms."""
    documents = sorted(documents, key=lambda document: document.id)
    arrays = string_arrays("ids", [document.id.encode() for document in documents])
    arrays |= string_arrays("shown", [_shown(document) for document in documents])
    texts = [texts_of(document) for document in documents]
    for name in TEXTS:
        own = [each[name] for each in texts]
        arrays |= text_arrays(name, [None if text is None else tokens(text) for text in own])
    arrays["has_caption"] = np.asarray([bool((d.caption or "").strip()) for d in documents], bool)
    for column in COLUMNS:
        arrays |= _column(column, [_values(document, column) for document in documents])
    for attribute in attributes:
        arrays |= _attribute(attribute, documents, tokens)
    for field in fields:
        arrays |= _vectors(field, documents)
    return arrays


def _shown(document: Document) -> bytes:
    shown = {name: value for name, value in document.content().items() if value}
    shown |= {"caption": ""} if document.caption == "" else {}
    return json.dumps(shown | dict(document.attributes)).encode()


def _attribute(
    attribute: Attribute, documents: Sequence[Document], tokens: Callable[[str], Sequence[str]]
) -> dict[str, NDArray[Any]]:
    """A field of one's own: terms of a text, a column of keywords, else doubles (missing: NaN)."""
    values = [document.attributes.get(attribute.name) for document in documents]
    if attribute.type == "text":
        cut = [None if value is None else tokens(str(value)) for value in values]
        return text_arrays(attribute.name, cut)
    if attribute.type == "keyword":
        return _column(attribute.name, [("" if v is None else str(v),) for v in values])
    if attribute.type == "bool":
        values = [bool(value) for value in values]
    numbers = [number_of(attribute, value) for value in values]
    return {f"number.{attribute.name}": np.asarray(numbers, np.float64)}


def _values(document: Document, column: str) -> tuple[str, ...]:
    value = getattr(document, column)
    return tuple(dict.fromkeys(value)) if isinstance(value, tuple) else (value,)


def _column(name: str, rows: Sequence[tuple[str, ...]]) -> dict[str, NDArray[Any]]:
    """A column as its distinct values, each with the documents that have it."""
    values = sorted({value for row in rows for value in row})
    numbers = {value: number for number, value in enumerate(values)}
    codes = np.asarray([numbers[value] for row in rows for value in row], np.int32)
    docs = np.repeat(np.arange(len(rows), dtype=np.uint32), [len(row) for row in rows])
    starts = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=len(values)), out=starts[1:])
    arrays = string_arrays(
        f"column.{name}", [value.encode("utf-8", "surrogatepass") for value in values]
    )
    arrays[f"column.{name}.spans"] = starts
    arrays[f"column.{name}.docs"] = docs[np.argsort(codes, kind="stable")]
    if name not in MULTIVALUED:
        arrays[f"column.{name}.codes"] = codes
    return arrays


def _vectors(field: VectorField, documents: Sequence[Document]) -> dict[str, NDArray[Any]]:
    if field.labels:
        return labelled_arrays(field, [d.labelled.get(field.name, {}) for d in documents])
    found = np.zeros((len(documents), field.dimension), np.float32)
    present = np.zeros(len(documents), np.bool_)
    for row, document in enumerate(documents):
        vector = document.vectors.get(field.name)
        if vector is not None:
            found[row] = vector
            present[row] = True
    return vector_arrays(field, found, present)


class Segment:
    """Documents by number, 0 to `len(segment)`, in ascending order of id."""

    def __init__(
        self,
        name: str,
        arrays: Arrays,
        fields: Sequence[VectorField],
        attributes: Sequence[Attribute] = (),
    ) -> None:
        if isinstance(arrays, dict):  # not from a file, whose arrays wait until they are used
            for array in arrays.values():
                array.flags.writeable = False
        self.name = name
        self.arrays = arrays
        self.ids = StringTable(arrays, "ids")
        self.attributes = {attribute.name: attribute for attribute in attributes}
        own = [name for name, attribute in self.attributes.items() if attribute.type == "text"]
        self.texts = {text: TextIndex(text, arrays) for text in (*TEXTS, *own)}
        self.vectors = {
            field.name: (LabelledIndex if field.labels else VectorIndex)(field, arrays)
            for field in fields
        }

    def __len__(self) -> int:
        """Return how many documents it holds, removed ones included."""
        return len(self.ids)

    @cached_property
    def _shown(self) -> StringTable:
        return StringTable(self.arrays, "shown")

    @property
    def has_caption(self) -> NDArray[np.bool_]:
        """Mark the documents whose caption is not blank: bool [documents]."""
        return self.arrays["has_caption"]

    def document(self, number: int, *, with_vectors: bool = False) -> Document:
        """Return one document as it was fed, its vectors cut to the fields' cells."""
        content: dict[str, Any] = json.loads(self._shown.raw(number))
        for name in (*MULTIVALUED, "concept_names"):
            content[name] = tuple(content.get(name, ()))
        own = {name: content.pop(name) for name in content.keys() - set(DOCUMENT_FIELDS)}
        if with_vectors:
            there = {n: each for n, each in self.vectors.items() if each.present[number]}
            content["labelled"] = {
                n: each.of(number) for n, each in there.items() if isinstance(each, LabelledIndex)
            }
            content["vectors"] = {
                name: as_floats(each.stored[number])
                for name, each in there.items()
                if name not in content["labelled"]
            }
        return Document(id=self.ids[number], attributes=own, **content)

    def passing(self, condition: Filter) -> NDArray[np.bool_]:
        """Mark the documents that meet a condition: bool [documents]."""
        attribute = self.attributes.get(condition.field)
        if attribute is None or attribute.type == "keyword":
            marked = self.having(condition.field, condition.values)
        else:
            marked = np.zeros(len(self), np.bool_)
            for value in condition.values:
                marked |= self._of_value(attribute, value, condition)
        return ~marked if condition.exclude else marked

    def _of_value(self, attribute: Attribute, value: str, condition: Filter) -> NDArray[np.bool_]:
        if attribute.type == "text":
            return self.containing(query_terms(value), attribute.name)
        numbers = self.numbers(attribute.name)
        if is_number(attribute):
            low, high = bounds(attribute, value, condition.comparison)
            return np.asarray((numbers >= low) & (numbers <= high), np.bool_)
        return np.asarray(numbers == value_of(attribute, value), np.bool_)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Each document's value of a number, date or bool, NaN where it is missing."""
        return self.arrays[f"number.{name}"]

    def having(self, column: str, values: Collection[str]) -> NDArray[np.bool_]:
        """Mark the documents whose column has any of the values: bool [documents]."""
        marked = np.zeros(len(self), np.bool_)
        if column == "id":
            marked[[n for value in values if (n := self.ids.find(value)) >= 0]] = True
            return marked
        table = StringTable(self.arrays, f"column.{column}")
        spans, docs = self.arrays[f"column.{column}.spans"], self.arrays[f"column.{column}.docs"]
        for value in values:
            number = table.find(value)
            if number >= 0:
                marked[docs[spans[number] : spans[number + 1]]] = True
        return marked

    def containing(self, phrase: Sequence[str], text: str = TEXTS[0]) -> NDArray[np.bool_]:
        """Mark the documents whose text has these terms next to each other: bool [documents].

        The index knows no positions: texts with all of the terms are cut into tokens again. A
        phrase of no term stands nowhere.
        """
        if not phrase:
            return np.zeros(len(self), np.bool_)
        mask = self.texts[text].having_all(phrase)
        if len(phrase) == 1:
            return mask
        wanted = "\n".join(["", *phrase, ""])
        for number in np.flatnonzero(mask):
            tokens = tokenize(str(self.document(int(number)).content()[text] or ""))
            mask[number] = wanted in "\n".join(["", *tokens, ""])
        return mask

    def values(self, column: str) -> list[str]:
        """The distinct values of a column, in order."""
        return list(StringTable(self.arrays, f"column.{column}"))

    def codes(self, column: str) -> NDArray[np.int32]:
        """The place of each document's value among `values` of a single-valued column."""
        return self.arrays[f"column.{column}.codes"]

    def counts(self, column: str, marked: NDArray[np.bool_]) -> dict[str, int]:
        """How many of the marked documents have each value, those that none has left out."""
        if column == "id":
            return {self.ids[int(number)]: 1 for number in np.flatnonzero(marked)}
        attribute = self.attributes.get(column)
        if attribute is not None and attribute.type != "keyword":
            found, times = np.unique(self.numbers(column)[marked], return_counts=True)
            pairs = zip(found.tolist(), times.tolist(), strict=True)
            return {told(shown_number(attribute, n)): t for n, t in pairs if not isnan(n)}
        spans = self.arrays[f"column.{column}.spans"]
        ends = np.concatenate([[0], np.cumsum(marked[self.arrays[f"column.{column}.docs"]])])
        counts = ends[spans[1:]] - ends[spans[:-1]]
        pairs = zip(self.values(column), counts.tolist(), strict=True)
        return {value: count for value, count in pairs if count and value}
