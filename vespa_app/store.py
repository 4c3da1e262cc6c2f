"""Single documents of a running application, over /document/v1/: put, update, remove, get, visit.

Feeding a corpus, with a ledger and dead letters, is `ingest.feed`.
https://docs.vespa.ai/en/reference/api/document-v1.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ranking.names import encoder_names
from ranking.types import Document, EngineError, VectorField
from vespa_app.answers import document_of
from vespa_app.application import Application, ServedEncoder
from vespa_app.connection import Connection, Reply
from vespa_app.errors import VespaUnavailableError, error_for
from vespa_app.retries import Retries, retrying

__all__ = ["Store", "put_fields", "update_fields"]

PAGE = 1000
BARRED = frozenset({"Cc", "Cs"})
LENGTH_TOLERANCE = 1e-3


class Store:
    """The documents of one application. All its operations may be repeated, and are."""

    def __init__(
        self, connection: Connection, application: Application, retries: Retries, seconds: float
    ) -> None:
        self._connection = connection
        self._application = application
        self._retries = retries
        self._seconds = seconds
        self._root = f"/document/v1/{application.schema}/{application.schema}/docid"

    def get(self, identifier: str) -> Document | None:
        """The document with its vectors, or None where there is none."""
        reply = self._send("GET", self._path(identifier))
        fields = reply.content.get("fields") if isinstance(reply.content, dict) else None
        return None if reply.status == 404 else document_of(fields or {})

    def has(self, identifier: str) -> bool:
        """Whether there is such a document."""
        reply = self._send("GET", self._path(identifier), parameters={"fieldSet": "[id]"})
        return reply.status == 200

    def put(self, document: Document) -> None:
        """Add the document, replacing one of the same id.

        Raises EngineError where a vector does not suit its field, or as Vespa refuses it.
        """
        self._send(
            "POST",
            self._path(document.id),
            body={"fields": put_fields(document, self._application)},
        )

    def update(self, document: Document) -> bool:
        """Set the document's vectors; False where there is no such document."""
        fields = update_fields(document, self._application)
        # Without a condition, an update of an absent document is a 200 that stores nothing.
        reply = self._send(
            "PUT",
            self._path(document.id),
            body={"fields": fields},
            parameters={"condition": self._application.schema},
        )
        return reply.status != 412

    def remove(self, identifier: str) -> bool:
        """Remove the document; False where there was none."""
        there = self.has(identifier)
        if there:
            self._send("DELETE", self._path(identifier))
        return there

    def ids(self) -> Iterator[str]:
        """Ids of all documents, in Vespa's own order, a page at a time.

        A document that moves between nodes meanwhile may come twice.
        """
        parameters = {"wantedDocumentCount": str(PAGE), "fieldSet": "[id]"}
        while True:
            reply = self._send("GET", self._root, parameters=parameters)
            page = reply.content if isinstance(reply.content, dict) else {}
            for document in page.get("documents", ()):
                yield str(document["id"]).split("::", 1)[1]
            if not page.get("continuation"):
                return
            parameters = {**parameters, "continuation": page["continuation"]}

    def _path(self, identifier: str) -> str:
        if identifier in {"", ".", ".."} or any(
            unicodedata.category(c) in BARRED for c in identifier
        ):
            raise EngineError(
                f"{identifier!r} cannot be a document's id in Vespa: it is empty, a path, or holds "
                "control characters or lone surrogates."
            )
        return f"{self._root}/{quote(identifier, safe='')}"

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Reply:
        def once(seconds: float) -> Reply:
            reply = self._connection.send(
                method,
                path,
                body=body,
                # Vespa gives up before this client does, and says why.
                parameters={"timeout": f"{seconds * 0.9:.3f}s", **(parameters or {})},
                seconds=seconds,
            )
            return _accepted(method, reply)

        return retrying(once, self._retries, self._seconds)


def _accepted(method: str, reply: Reply) -> Reply:
    said = str(reply.content.get("message", "")) if isinstance(reply.content, dict) else ""
    if reply.status == 404 and said:
        # With the content nodes down, updates and removes are answered 404 and a reason; where a
        # document is merely absent, there is none.
        raise VespaUnavailableError(f"Vespa cannot answer now: {said}", status=404)
    if reply.status == 200 or (reply.status == 412 and method == "PUT"):
        return reply
    if reply.status == 404 and method == "GET" and reply.content is not None:
        return reply
    if reply.status == 400:
        raise EngineError(f"Vespa refuses the document: {said or reply.text[:200]}")
    raise error_for(reply.status, None, said)


def put_fields(document: Document, application: Application) -> dict[str, object]:
    """All fields of the document as /document/v1/ takes them; empty ones are left out."""
    fields: dict[str, object] = {
        "id": document.id,
        "caption": document.caption,
        "concepts": list(document.concepts),
        "concept_names": list(document.concept_names),
        "group_id": document.group_id,
        "modality": document.modality,
        "source": document.source,
        "licence": document.licence,
        "split": document.split,
        "image_url": document.image_url,
    }
    filled = {name: value for name, value in fields.items() if value}
    return {
        **filled,
        "has_caption": bool((document.caption or "").strip()),
        **_vector_fields(document, application),
    }


def update_fields(document: Document, application: Application) -> dict[str, object]:
    """The document's vectors as a partial update."""
    fields = _vector_fields(document, application)
    return {name: {"assign": value} for name, value in fields.items()}


def _vector_fields(document: Document, application: Application) -> dict[str, object]:
    encoders = {encoder.field.name: encoder for encoder in application.encoders}
    fields: dict[str, object] = {}
    for name, vector in document.vectors.items():
        if name not in encoders:
            raise EngineError(
                f"{document.id} has a vector for {name}, and the application has "
                f"{', '.join(encoders) or 'no vector field'}."
            )
        fields |= _one_vector(document.id, vector, encoders[name])
    return fields


def _one_vector(
    identifier: str, vector: NDArray[np.float32], encoder: ServedEncoder
) -> dict[str, object]:
    names = encoder_names(encoder.short)
    return {
        names.embedding: {"values": _checked(identifier, vector, encoder.field).tolist()},
        names.fingerprint: encoder.fingerprint,
        names.has_vector: True,
    }


def _checked(
    identifier: str, vector: NDArray[np.float32], stored: VectorField
) -> NDArray[np.float32]:
    """The vector, after what Vespa does not check: it pads short ones and takes any length."""
    found = np.asarray(vector, np.float32)
    if found.shape != (stored.dimension,):
        raise EngineError(
            f"{identifier}: the vector has shape {list(found.shape)}, {stored.name} holds "
            f"{stored.dimension} numbers."
        )
    if not np.isfinite(found).all():
        raise EngineError(f"{identifier}: the vector holds NaN or infinity.")
    length = float(np.linalg.norm(found.astype(np.float64)))
    unit = stored.distance == "prenormalized-angular" and stored.cell_type != "int8"
    if length == 0.0 or (unit and abs(length - 1.0) > LENGTH_TOLERANCE):
        raise EngineError(f"{identifier}: the vector has length {length:.4g}, not 1.")
    return found
