"""Send many document operations concurrently over /document/v1/.

One HTTP/2 connection with many streams (`vespa_app.http.streams`). Every operation ends in an
`Answer`: done, refused for its own fault, or absent. What may pass is tried again until it passes
or `patience` runs out; what stops everything is raised.
https://docs.vespa.ai/en/reference/api/document-v1.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self
from urllib.parse import quote, urlencode

from vespa_app.feed.delivery import Delivery, Exchange, FeedSettings
from vespa_app.feed.operations import (
    Answer,
    Operation,
    OperationKind,
    Verdict,
    operation_body,
    unusable_id,
)
from vespa_app.http.credentials import Credentials, check_files, check_url
from vespa_app.http.errors import VespaGarbledError
from vespa_app.http.reply import as_list, as_object, as_text, reading
from vespa_app.http.streams import Method, Streams
from vespa_app.package.names import SCHEMA_NAME

__all__ = ["DocumentClient", "FeedSettings"]

DEFAULTS = FeedSettings()
METHODS: dict[OperationKind, Method] = {
    "put": "POST",
    "update": "PUT",
    "remove": "DELETE",
}
PAGE = 1000
EMPTY_PAGES = 100  # in a row: a visit that only goes on


class DocumentClient:
    """Sends operations to one application. Use it in `with`, or close it.

    Raises EngineError if the URL or the credentials are unusable.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        settings: FeedSettings = DEFAULTS,
        *,
        schema: str = SCHEMA_NAME,
    ) -> None:
        known = credentials if credentials is not None else Credentials.from_environment()
        self.url = check_url(url, known)
        check_files(known)
        self.settings = settings
        self._root = f"/document/v1/{schema}/{schema}/docid"
        self._condition = schema
        self.credentials = known
        self._closed = threading.Event()
        self._idle: list[Streams[Exchange]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """End what waits for another try, and close the connections that are not in use."""
        self._closed.set()
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def send_all(self, operations: Iterable[Operation]) -> Iterator[tuple[Operation, Answer]]:
        """Yield each operation with its answer, as they end; up to `streams` are in flight.

        Give each id once: operations on one id could overtake each other. Raises the VespaError
        that stops feeding, after the answers of all operations in flight.
        """
        refused: list[tuple[Operation, Answer]] = []

        def exchanges() -> Iterator[Exchange]:
            for operation in operations:
                problem = unusable_id(operation.id)
                if problem:
                    refused.append((operation, Answer(Verdict.REFUSED, 400, problem, attempts=0)))
                else:
                    yield self._exchange(operation)

        with self._streams() as streams:
            for exchange, answer in self._delivery().run(streams, exchanges()):
                while refused:
                    yield refused.pop()
                if exchange.operation:
                    yield exchange.operation, answer
        yield from refused

    def send(self, operation: Operation) -> Answer:
        """Send one operation, again and again while that may help.

        Raises VespaError if it cannot be known when, if ever, it will pass: disk or memory
        full, no access, no answer within `patience`.
        """
        ((_, answer),) = self.send_all([operation])
        return answer

    def ids(self, selection: str = "") -> Iterator[str]:
        """Ids of the documents (of those that `selection` fits), a page at a time.

        A document that moves between nodes meanwhile may come twice. Raises VespaGarbledError
        if the visit does not come to an end.
        """
        parameters = {"wantedDocumentCount": str(PAGE), "fieldSet": "[id]"}
        if selection:
            parameters["selection"] = selection
        seen: set[str] = set()
        empty = 0
        while True:
            ids, token = self._page(parameters)
            yield from ids
            if not token:
                return
            empty = 0 if ids else empty + 1
            if token in seen or empty == EMPTY_PAGES:
                why = f"{EMPTY_PAGES} pages without a document" if empty else "a page is repeated"
                raise VespaGarbledError(
                    f"{self.url}{self._root} does not finish the list of its documents ({why})."
                )
            seen.add(token)
            parameters["continuation"] = token

    def _page(self, parameters: Mapping[str, str]) -> tuple[list[str], str]:
        """The ids of one page, and what continues behind it, "" at the end."""
        target = self._target(self._root, parameters)
        page = Exchange(None, "GET", target, b"", time.monotonic() + self.settings.patience)
        delivery = self._delivery()
        with self._streams() as streams:
            ((_, answer),) = delivery.run(streams, iter([page]))
        if answer.verdict is not Verdict.DONE or page.reply is None:
            raise delivery.error(answer)
        with reading(page.reply.address):
            content = as_object(page.reply.content, "the answer")
            documents = as_list(content.get("documents", []), "documents")
            token = as_text(content.get("continuation") or "", "continuation")
            return [_own_id(document) for document in documents], token

    def _exchange(self, operation: Operation) -> Exchange:
        # Without a condition, an update of an absent document is a 200 that stores nothing.
        condition = {"condition": self._condition} if operation.kind == "update" else {}
        return Exchange(
            operation,
            METHODS[operation.kind],
            self._target(f"{self._root}/{quote(operation.id, safe='')}", condition),
            operation_body(operation),
            time.monotonic() + self.settings.patience,
        )

    def _delivery(self) -> Delivery:
        return Delivery(self.url, self.settings, self._closed, self.credentials.token)

    def _target(self, path: str, parameters: Mapping[str, str]) -> str:
        return f"{path}?{urlencode({'timeout': f'{self.settings.seconds:g}s', **parameters})}"

    @contextmanager
    def _streams(self) -> Iterator[Streams[Exchange]]:
        """A connection of this caller's own, as long as it needs one."""
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        settings = self.settings
        streams = idle or Streams(self.url, self.credentials, settings.streams)
        try:
            yield streams
        finally:
            with self._lock:
                if streams.busy or self._closed.is_set():
                    streams.close()
                else:
                    self._idle.append(streams)


def _own_id(document: object) -> str:
    """What stands behind the namespace, type and key of a document's id."""
    whole = as_text(as_object(document, "a document").get("id"), "a document's id")
    _, separator, own = whole.partition("::")
    if not separator:
        raise ValueError(f"a document's id is {whole[:40]!r}")
    return own
