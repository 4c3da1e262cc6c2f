"""Convert documents to and from the fields of /document/v1/.

Writing is `vespa_app.feed.documents`; feeding a corpus, with a ledger and dead letters,
`ingest.feed.feed`.
https://docs.vespa.ai/en/reference/api/document-v1.html
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ranking.attributes import fault_of, is_number, number_of
from ranking.cell_types import LENGTH_TOLERANCE, scaled_for
from ranking.document_checks import float32_vector
from ranking.names import encoder_names
from ranking.text.fields import texts_of
from ranking.types import Document, EngineError, VectorField
from vespa_app.feed.operations import unusable_id
from vespa_app.http.connection import Connection
from vespa_app.http.errors import VespaGarbledError, error_for
from vespa_app.http.reply import Reply, as_object, reading
from vespa_app.http.retries import Retries, retrying
from vespa_app.query.answers import document_of
from vespa_app.read.application import Application

__all__ = ["Store", "judged_document", "put_fields", "vector_fields"]


class Store:
    """Reads single documents of one application."""

    def __init__(
        self, connection: Connection, application: Application, retries: Retries, seconds: float
    ) -> None:
        self._connection = connection
        self._retries = retries
        self._seconds = seconds
        self._application = application
        self._root = f"/document/v1/{application.schema}/{application.schema}/docid"

    def get(self, identifier: str) -> Document | None:
        """The document with its vectors, or None if there is none."""
        reply = self._read(identifier, {})
        if reply.status == 404:
            return None
        with reading(reply.address):
            fields = as_object(reply.at("fields") or {}, "fields")
            return document_of(fields, self._application.attributes)

    def has(self, identifier: str) -> bool:
        """Whether there is such a document."""
        return self._read(identifier, {"fieldSet": "[id]"}).status == 200

    def _read(self, identifier: str, parameters: Mapping[str, str]) -> Reply:
        if unusable_id(identifier):
            return Reply(404, None)
        path = f"{self._root}/{quote(identifier, safe='')}"

        def once(seconds: float) -> Reply:
            # Vespa gives up before this client does, and says why.
            timed = {"timeout": f"{seconds * 0.9:.3f}s", **parameters}
            return judged_document(
                self._connection.send("GET", path, parameters=timed, seconds=seconds)
            )

        return retrying(once, self._retries, self._seconds)


def judged_document(reply: Reply) -> Reply:
    """The reply, where it tells of a document or of its absence.

    Raises the VespaError that it means otherwise. A 404 with a message is no absence: so answers
    a server whose content nodes are down.
    """
    ours = isinstance(reply.content, dict) and "pathId" in reply.content
    if ours and (reply.status == 200 or (reply.status == 404 and not reply.message)):
        return reply
    if reply.status == 200:
        raise VespaGarbledError(
            f"{reply.address} answered, but not with a document of Vespa (it has no pathId): check "
            "URL, port, and any proxy.",
            status=reply.status,
        )
    raise error_for(reply.status, None, reply.message)


def put_fields(document: Document, application: Application) -> dict[str, object]:
    """All fields of the document, as `Operation` takes them; empty ones are left out.

    Raises EngineError as `vector_fields` does, and where a field of one's own is not the
    application's.
    """
    fields = {"id": document.id, **document.content(), **texts_of(document)}
    filled = {name: value for name, value in fields.items() if value}
    filled |= _own_fields(document, application)
    return {
        **filled,
        "has_caption": bool((document.caption or "").strip()),
        **vector_fields(document, application),
    }


def _own_fields(document: Document, application: Application) -> dict[str, object]:
    """Values of one's own fields as Vespa stores them, each number with its flag."""
    wrong = fault_of(document.attributes, application.attributes)
    if wrong:
        raise EngineError(f"{document.id}: {wrong}.")
    fields: dict[str, object] = {}
    for own in application.attributes:
        value = document.attributes.get(own.name)
        if value is None:
            continue
        dated = own.type == "date"
        fields[own.name] = int(number_of(own, value)) if dated else value
        if is_number(own):
            fields[f"has_{own.name}"] = True
    return fields


def vector_fields(document: Document, application: Application) -> dict[str, object]:
    """What goes with the document's vectors, each with its fingerprint and flag.

    Vectors under labels are a dict of them. Raises EngineError where a
    vector does not suit its field.
    """
    there = application.vector_fields
    fields: dict[str, object] = {}
    for name in (*document.vectors, *document.labelled):
        if name not in there:
            raise EngineError(
                f"{document.id} has a vector for {name}, and the application has "
                f"{', '.join(there) or 'no vector field'}."
            )
        encoder, stored = there[name]
        if bool(stored.labels) == (name in document.vectors):
            holds = "vectors under labels" if stored.labels else "one vector, without a label"
            raise EngineError(f"{document.id}: {name} holds {holds}.")
        names = encoder_names(encoder.short)
        fields[names.fingerprint] = encoder.fingerprint
        if name == names.embedding:
            fields[names.has_vector] = True
        if name in document.vectors:
            fields[name] = _cells(document.id, document.vectors[name], stored)
        else:
            labelled = document.labelled[name]
            fields[name] = {label: _cells(document.id, v, stored) for label, v in labelled.items()}
    return fields


def _cells(
    identifier: str, vector: NDArray[np.float32], stored: VectorField
) -> NDArray[np.floating]:
    """The vector, after what Vespa does not check: it pads short ones and takes any length.

    Float32 for float cells, which travels as hex; for others float64, which travels as numbers.
    """
    try:
        found = scaled_for(float32_vector(vector), stored.cell_type)
    except EngineError as error:
        raise EngineError(f"{identifier}: {stored.name}: {error}") from None
    if found.shape != (stored.dimension,):
        raise EngineError(
            f"{identifier}: the vector has shape {list(found.shape)}, {stored.name} needs "
            f"{stored.dimension} numbers."
        )
    length = float(np.linalg.norm(found.astype(np.float64)))
    unit = stored.distance == "prenormalized-angular" and stored.cell_type != "int8"
    if length == 0.0 or (unit and abs(length - 1.0) > LENGTH_TOLERANCE):
        raise EngineError(f"{identifier}: the vector has length {length:.4g}, not 1.")
    return found if stored.cell_type == "float" else found.astype(np.float64)
