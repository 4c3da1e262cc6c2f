"""Checks of documents before they are indexed, shared by both engines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress
from ranking.attributes import fault_of
from ranking.types import DOCUMENT_FIELDS, Attribute, Document, EngineError, VectorField

__all__ = [
    "collect",
    "document_fault",
    "fault",
    "float32_vector",
    "is_text",
    "named",
    "several",
    "with_vectors",
]

T = TypeVar("T")
REPORT_EVERY = 1000
LISTS = frozenset(each.name for each in fields(Document) if each.default == ())
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_SHOWN = 80


def is_text(value: object) -> bool:
    """Whether an id or a caption can be indexed: no zero character, no lone surrogate."""
    return isinstance(value, str) and _NO_TEXT.search(value) is None


def document_fault(document: object) -> str:
    """Say why no engine can store it, vectors aside; "" where one can.

    Vespa refuses these too. It also refuses other control characters, which do no harm here.
    """
    if not isinstance(document, Document):
        return f"it is no Document but {type(document).__name__}"
    if not document.id or not isinstance(document.id, str):
        return "it has no id, or its id is not text"
    for name in ("id", *DOCUMENT_FIELDS):
        value = getattr(document, name)
        if name in LISTS:
            texts = value if isinstance(value, tuple | list) else (None,)
        else:
            texts = ("" if name == "caption" and value is None else value,)
        if not all(isinstance(each, str) for each in texts):
            kind = "list of texts" if name in LISTS else "text"
            return f"its {name} is no {kind}: {repr(value)[:40]}"
        if not all(map(is_text, texts)):
            return f"its {name} has a character that is not text"
    return _held_fault(document)


def _held_fault(document: Document) -> str:
    held = (document.vectors, document.labelled, *_values(document.labelled))
    if not all(isinstance(e, Mapping) for e in held):
        return "its vectors are no arrays by field"
    if not isinstance(document.attributes, Mapping):
        return "its attributes are no values by field"
    own = {name: v for name, v in document.attributes.items() if isinstance(v, str)}
    wrong = next((name for name, v in own.items() if not is_text(v)), None)
    return f"its {wrong} holds a character that is not text" if wrong else ""


def _values(held: object) -> Iterable[object]:
    return held.values() if isinstance(held, Mapping) else ()


def float32_vector(vector: object) -> NDArray[np.float32]:
    """The vector as float32. Raises EngineError if it is not an array of finite numbers."""
    try:
        found = np.asarray(vector)
    except (ValueError, TypeError):  # rows of several lengths
        found = np.asarray(None)
    if found.dtype.kind not in "fiu":
        raise EngineError("it is no array of numbers")
    with np.errstate(over="ignore"):
        cut = found.astype(np.float32, copy=False)
    if not np.isfinite(cut).all():
        beyond = np.isfinite(found).all()
        raise EngineError(f"it holds {'numbers beyond float32' if beyond else 'NaN or infinity'}")
    return cut


def fault(
    document: object, known: Sequence[VectorField], attributes: Sequence[Attribute] = ()
) -> str:
    """Say why an index with these fields cannot hold a document; "" where it can."""
    told = document_fault(document)
    if told or not isinstance(document, Document):
        return told
    wrong = fault_of(document.attributes, attributes)
    return wrong or _vector_fault(document, {field.name: field for field in known})


def _vector_fault(document: Document, known: Mapping[str, VectorField]) -> str:
    several = [(n, v) for n, labelled in document.labelled.items() for v in labelled.values()]
    for name, vector in (*document.vectors.items(), *several):
        field = known.get(name)
        if field is None:
            return f"the index has no vector field {name}"
        try:
            shape = float32_vector(vector).shape
        except EngineError as error:
            return f"{name}: {error}"
        if shape != (field.dimension,):
            return f"{name} has shape {list(shape)}, not [{field.dimension}]"
    return _label_fault(document, {name for name, field in known.items() if field.labels})


def _label_fault(document: Document, labelled: set[str]) -> str:
    if wrong := sorted(labelled & {*document.vectors}):
        return f"{wrong[0]} holds vectors under labels"
    if wrong := sorted({*document.labelled} - labelled):
        return f"{wrong[0]} holds one vector, without a label"
    if not all(is_text(label) for labels in document.labelled.values() for label in labels):
        return "a label holds a character that is not text"
    return ""


def collect(
    documents: Iterable[Document],
    known: Sequence[VectorField],
    progress: Progress,
    attributes: Sequence[Attribute] = (),
) -> list[Document]:
    """Return all documents of a new index.

    Raises EngineError naming the first that cannot be indexed, or whose id came before.
    """
    found: dict[str, Document] = {}
    for document in several(documents, "documents"):
        reason = fault(document, known, attributes)
        if not reason and document.id in found:
            reason = "its id is used twice"
        if reason:
            raise EngineError(f"Document {named(document)!r} cannot be indexed: {reason}.")
        found[document.id] = document
        if len(found) % REPORT_EVERY == 0:
            progress("documents", len(found), None)
    progress("documents", len(found), len(found))
    return list(found.values())


def with_vectors(document: Document, update: Document) -> Document:
    """Return the document with the update's vectors added, or in place of its own."""
    return replace(
        document,
        vectors={**document.vectors, **update.vectors},
        labelled={**document.labelled, **update.labelled},
    )


def named(document: object) -> str:
    """What a report calls it: its id, or what it is."""
    return str(getattr(document, "id", document))[:_SHOWN]


def several(values: Iterable[T], what: str) -> Iterable[T]:
    """Raise EngineError where `values` are one instead of several."""
    if isinstance(values, str | bytes | Document) or not isinstance(values, Iterable):
        raise EngineError(f"Give a list of {what}, not {type(values).__name__}.")
    return values
