"""Many document operations at once over /document/v1/, each with its own certain end.

One HTTP/2 connection with many streams, by `httpr`, the client that pyvespa uses itself. Every
operation ends in an `Answer`: done, refused for its own fault, or absent. What may pass is tried
again until it passes or `patience` runs out; what stops everything is raised.
https://docs.vespa.ai/en/reference/api/document-v1.html
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpr

from vespa_app.connection import Connection, Credentials
from vespa_app.errors import (
    VespaError,
    VespaGarbledError,
    VespaUnreachableError,
    VespaUntrustedError,
    error_for,
)
from vespa_app.operations import (
    NO_CONNECTION,
    Answer,
    Operation,
    OperationKind,
    Verdict,
    judge_operation,
    operation_body,
    unusable_id,
)
from vespa_app.schema import SCHEMA_NAME
from vespa_app.workers import Workers

__all__ = [
    "DocumentClient",
    "FeedSettings",
]

Method = Literal["GET", "POST", "PUT", "DELETE"]
METHODS: dict[OperationKind, Method] = {
    "put": "POST",
    "update": "PUT",
    "remove": "DELETE",
}
PAGE = 1000
STOPPED = "Feeding was stopped."


@dataclass(frozen=True)
class FeedSettings:
    """streams: operations under way at once. seconds: what Vespa may take for one.

    patience: seconds that an operation is tried again before feeding stops. first, longest:
    pauses between tries grow from the one to the other, with full jitter.
    """

    streams: int = 32
    seconds: float = 30.0
    patience: float = 300.0
    first: float = 0.1
    longest: float = 10.0


class DocumentClient:
    """Sends operations to one application. Use it in `with`, or close it.

    Raises EngineError where the URL or the credentials are unusable.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        settings: FeedSettings = FeedSettings(),
        *,
        schema: str = SCHEMA_NAME,
    ) -> None:
        known = credentials if credentials is not None else Credentials.from_environment()
        self.url = Connection(url, known).url  # which checks it
        self.settings = settings
        self._root = f"{self.url}/document/v1/{schema}/{schema}/docid"
        self._condition = schema
        self._closed = threading.Event()
        self._known = known
        self._http = _client(self.url, known, settings, http2=True)
        self._proven = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """End what waits for another try, and close the connection."""
        self._closed.set()
        self._http.close()

    def send_all(self, operations: Iterable[Operation]) -> Iterator[tuple[Operation, Answer]]:
        """Yield each operation with its answer, as they end; `streams` are under way at once.

        Give each id once: operations on one id could overtake each other. Raises the VespaError
        that stops feeding, after the answers of all that was under way.
        """
        waiting = iter(operations)
        failure: BaseException | None = None
        with Workers(self.send, self.settings.streams) as workers:
            while True:
                room = 2 * self.settings.streams - workers.busy if failure is None else 0
                for operation in islice(waiting, room):
                    workers.begin(operation)
                if not workers.busy:
                    break
                operation, answer = workers.next_ended()
                if isinstance(answer, Answer):
                    yield operation, answer
                    continue
                # What has been sent may still end well, and is told before the error.
                failure = failure or answer
                workers.stop.set()
        if failure is not None:
            raise failure

    def send(self, operation: Operation, stop: threading.Event | None = None) -> Answer:
        """Send one operation, again and again while that may help and `stop` is not set.

        Raises VespaError where it cannot be known when, if ever, it will pass: disk or memory
        full, no access, no answer within `patience`.
        """
        problem = unusable_id(operation.id)
        if problem:
            return Answer(Verdict.REFUSED, 400, problem, attempts=0)
        method = METHODS[operation.kind]
        parameters = {"timeout": f"{self.settings.seconds:g}s"}
        if operation.kind == "update":
            # Without a condition, an update of an absent document is a 200 that stores nothing.
            parameters["condition"] = self._condition
        path = f"{self._root}/{quote(operation.id, safe='')}"
        body = operation_body(operation)
        end = time.monotonic() + self.settings.patience
        attempt = 0
        stop = stop or self._closed
        while not stop.is_set():
            status, content, message = self._once(method, path, parameters, body)
            attempt += 1
            verdict = judge_operation(operation.kind, status, content)
            if verdict not in (Verdict.AGAIN, Verdict.STOP):
                return Answer(verdict, status, message, attempt)
            if verdict is Verdict.STOP or not self._wait(attempt, end, stop):
                raise self._error(status, message)
        raise VespaUnreachableError(STOPPED)

    def ids(self, selection: str = "") -> Iterator[str]:
        """Ids of the documents (of those that `selection` fits), a page at a time.

        A document that moves between nodes meanwhile may come twice.
        """
        parameters = {
            "wantedDocumentCount": str(PAGE),
            "fieldSet": "[id]",
            "timeout": f"{self.settings.seconds:g}s",
        }
        if selection:
            parameters["selection"] = selection
        while True:
            page = self._page(parameters)
            for document in page.get("documents", ()):
                yield str(document["id"]).split("::", 1)[1]
            if not page.get("continuation"):
                return
            parameters["continuation"] = page["continuation"]

    def _page(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        end = time.monotonic() + self.settings.patience
        attempt = 0
        while True:
            status, content, message = self._once("GET", self._root, parameters, b"")
            attempt += 1
            if status == 200 and isinstance(content, dict):
                return content
            verdict = judge_operation("visit", status, content)
            if verdict is not Verdict.AGAIN or not self._wait(attempt, end, self._closed):
                raise self._error(status, message)

    def _once(
        self,
        method: Method,
        path: str,
        parameters: Mapping[str, str],
        body: bytes,
    ) -> tuple[int, object, str]:
        """Status, parsed body and message of one request; status 0 where there was no answer."""
        try:
            response = self._request(method, path, parameters, body)
            raw = response.content
        except (httpr.HTTPError, httpr.StreamError, RuntimeError) as error:
            return NO_CONNECTION, None, str(error) or type(error).__name__
        try:
            content = json.loads(raw) if raw else None
        except ValueError:
            return response.status_code, None, raw[:200].decode("utf-8", "replace")
        message = content.get("message", "") if isinstance(content, dict) else ""
        return response.status_code, content, str(message)

    def _request(
        self, method: Method, path: str, parameters: Mapping[str, str], body: bytes
    ) -> httpr.Response:
        def by(http: httpr.Client) -> httpr.Response:
            headers = {"Content-Type": "application/json"} if body else {}
            content = body or None
            return http.request(
                method, path, params=dict(parameters), headers=headers, content=content
            )

        failure = None
        try:
            response = by(self._http)
        except httpr.HTTPError as error:
            failure = error
        if failure is not None:
            if self._proven:
                raise failure
            self._check_trust()
            # What stands before Vespa may speak HTTP/1.1 only.
            older = _client(self.url, self._known, self.settings, http2=False)
            response = by(older)
            self._http = older
        self._proven = True
        return response

    def _check_trust(self) -> None:
        """Raise VespaUntrustedError where TLS fails, of which httpr says no more than "error"."""
        if not self.url.startswith("https://"):
            return
        connection = Connection(self.url, self._known, pool=1)
        try:
            connection.send("GET", "/state/v1/health", seconds=5.0)
        except VespaUntrustedError:
            raise
        except VespaError:  # whatever else it is may pass
            return
        finally:
            connection.close()

    def _wait(self, attempt: int, end: float, stop: threading.Event) -> bool:
        """Pause before another try; False where there is no time for one."""
        settings = self.settings
        longest = min(settings.longest, settings.first * 2 ** min(attempt - 1, 30))
        pause = random.uniform(0, longest)  # noqa: S311
        if time.monotonic() + pause >= end:
            return False
        return not stop.wait(pause)

    def _error(self, status: int, message: str) -> VespaError:
        if status == NO_CONNECTION:
            return VespaUnreachableError(
                f"{self.url} gave no answer for {self.settings.patience:g} s ({message}): see "
                "whether Vespa is running there, then feed again."
            )
        if status < 400:
            return VespaGarbledError(
                f"{self.url} answered {status}, and not as Vespa does ({message[:80]!r}): check "
                "URL and port.",
                status=status,
            )
        error = error_for(status, None, message)
        return error if isinstance(error, VespaError) else VespaError(str(error), status=status)


def _client(
    url: str, credentials: Credentials, settings: FeedSettings, *, http2: bool
) -> httpr.Client:
    encrypted = url.startswith("https://")
    pem = None
    if credentials.certificate:
        files = [credentials.certificate, *([credentials.key] if credentials.key else [])]
        pem = b"\n".join(file.read_bytes() for file in files)
    return httpr.Client(
        auth_bearer=credentials.token or None,
        client_pem_data=pem,
        ca_cert_file=str(credentials.authority) if credentials.authority else None,
        # Vespa gives up before this client does, and says why.
        timeout=settings.seconds * 1.2 + 1.0,
        follow_redirects=False,
        cookie_store=False,
        referer=False,
        # Over TLS the two agree on HTTP/2; in clear text it must be known beforehand.
        http2_only=http2 and not encrypted,
    )
