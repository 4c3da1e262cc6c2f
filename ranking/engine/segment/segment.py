"""A segment: an immutable block of documents as flat arrays.

A segment is nothing but named flat arrays, so that the one in memory and the one opened by
memory map are the same thing. Documents stand in ascending order of id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ranking.engine.segment.labelled import LabelledIndex, labelled_arrays
from ranking.engine.segment.postings import TextIndex, text_arrays
from ranking.engine.segment.strings import StringTable, string_arrays
from ranking.engine.segment.vectors import VectorIndex, as_floats, vector_arrays
from ranking.text.fields import texts_of
from ranking.text.tokens import tokenize
from ranking.types import MULTIVALUED, TEXTS, Document, FilterField, VectorField

__all__ = ["Arrays", "Segment", "segment_arrays"]

Arrays = Mapping[str, NDArray[Any]]

COLUMNS: tuple[FilterField, ...] = tuple(f for f in get_args(FilterField) if f != "id")


def segment_arrays(
    documents: Sequence[Document],
    fields: Sequence[VectorField],
    tokens: Callable[[str], Sequence[str]] = tokenize,
) -> dict[str, NDArray[Any]]:
    """Lay out documents (ids unique) as arrays; `tokens` cuts a caption into terms."""
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
    for field in fields:
        arrays |= _vectors(field, documents)
    return arrays


def _shown(document: Document) -> bytes:
    shown = {name: value for name, value in document.content().items() if value}
    return json.dumps(shown | ({"caption": ""} if document.caption == "" else {})).encode()


def _values(document: Document, column: FilterField) -> tuple[str, ...]:
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

    def __init__(self, name: str, arrays: Arrays, fields: Sequence[VectorField]) -> None:
        if isinstance(arrays, dict):  # not from a file, whose arrays wait until they are used
            for array in arrays.values():
                array.flags.writeable = False
        self.name = name
        self.arrays = arrays
        self.ids = StringTable(arrays, "ids")
        self.texts = {text: TextIndex(text, arrays) for text in TEXTS}
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
        return Document(id=self.ids[number], **content)

    def having(self, column: FilterField, values: Collection[str]) -> NDArray[np.bool_]:
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

    def containing(self, phrase: Sequence[str]) -> NDArray[np.bool_]:
        """Mark the documents whose caption has these terms next to each other: bool [documents].

        The index knows no positions: captions with all of the terms are cut into tokens again.
        """
        mask = self.texts["caption"].having_all(phrase)
        if len(phrase) == 1:
            return mask
        wanted = "\n".join(["", *phrase, ""])
        for number in np.flatnonzero(mask):
            tokens = tokenize(self.document(int(number)).caption or "")
            mask[number] = wanted in "\n".join(["", *tokens, ""])
        return mask

    def values(self, column: FilterField) -> list[str]:
        """The distinct values of a column, in order."""
        return list(StringTable(self.arrays, f"column.{column}"))

    def codes(self, column: FilterField) -> NDArray[np.int32]:
        """The place of each document's value among `values` of a single-valued column."""
        return self.arrays[f"column.{column}.codes"]

    def counts(self, column: FilterField, marked: NDArray[np.bool_]) -> dict[str, int]:
        """How many of the marked documents have each value, those that none has left out."""
        if column == "id":
            return {self.ids[int(number)]: 1 for number in np.flatnonzero(marked)}
        spans = self.arrays[f"column.{column}.spans"]
        ends = np.concatenate([[0], np.cumsum(marked[self.arrays[f"column.{column}.docs"]])])
        counts = ends[spans[1:]] - ends[spans[:-1]]
        pairs = zip(self.values(column), counts.tolist(), strict=True)
        return {value: count for value, count in pairs if count and value}
