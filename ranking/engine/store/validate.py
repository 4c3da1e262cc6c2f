"""Documents on their way in: checked one by one, refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from encoders.base.progress import Progress
from ranking.types import Document, EngineError, VectorField

__all__ = ["collect", "fault", "is_text", "with_vectors"]

REPORT_EVERY = 1000
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether an id or a caption can be indexed: no zero character, no lone surrogate."""
    return _NO_TEXT.search(value) is None


def fault(document: Document, fields: Sequence[VectorField]) -> str:
    """Say why a document cannot be indexed; "" where it can.

    Vespa refuses these too, but for vectors that it would pad with zeros. It also refuses other
    control characters, which do no harm here.
    """
    if not document.id or not isinstance(document.id, str):
        return "it has no id, or one that is no text"
    for name in ("id", "caption"):
        if not is_text(getattr(document, name) or ""):
            return f"its {name} holds a character that is not text"
    return _vector_fault(document, {field.name: field for field in fields})


def _vector_fault(document: Document, known: Mapping[str, VectorField]) -> str:
    several = [(n, v) for n, labelled in document.labelled.items() for v in labelled.values()]
    for name, vector in (*document.vectors.items(), *several):
        field = known.get(name)
        if field is None:
            return f"the index has no vector field {name}"
        if np.shape(vector) != (field.dimension,):
            return f"{name} has shape {list(np.shape(vector))}, not [{field.dimension}]"
        if not np.isfinite(vector).all():
            return f"{name} holds NaN or infinity"
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
    documents: Iterable[Document], fields: Sequence[VectorField], progress: Progress
) -> list[Document]:
    """Return all documents of a new index.

    Raises EngineError naming the first that cannot be indexed, or whose id came before.
    """
    found: dict[str, Document] = {}
    for document in documents:
        reason = "its id came before" if document.id in found else fault(document, fields)
        if reason:
            raise EngineError(f"Document {document.id!r} cannot be indexed: {reason}.")
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
