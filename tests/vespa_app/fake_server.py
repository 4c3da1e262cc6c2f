"""A /document/v1/ server in this process that fails as it is told: for tests and drills.

It answers as Vespa 8.700.24 was seen to answer (docs/feeding.md), over HTTP/1.1, and keeps
documents as the JSON they came in. Nothing is checked against a schema.

    with FakeVespa(lambda request: Fault(503) if request.number % 3 == 0 else None) as server:
        DocumentClient(server.url)
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeVespa", "Fault", "Request"]

PAGE = 100


@dataclass(frozen=True)
class Request:
    """One request: its place in the order of arrival (from 0), method and document id."""

    number: int
    method: str
    id: str


@dataclass(frozen=True)
class Fault:
    """What to do in place of an answer.

    status 0: break the connection off, after `seconds` of silence. applied: after the document
    was stored, so that only the answer is lost. body: in place of Vespa's JSON.
    """

    status: int = 0
    message: str = "made to fail"
    applied: bool = False
    body: str = ""
    seconds: float = 0.0


Faults = Callable[[Request], Fault | None]


class FakeVespa:
    """Serves from `with` until its end; `documents` by id, `requests` as they came."""

    def __init__(self, faults: Faults = lambda _: None, token: str = "") -> None:
        self.faults = faults
        self.token = token
        self.documents: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def puts(self, identifier: str) -> int:
        """How often a document was sent whole."""
        return sum(r.method == "POST" and r.id == identifier for r in self.requests)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away: some are made to."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeVespa
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        if self.path == "/search/":
            self._reply(200, self._found())
        else:
            self._operation()

    def do_PUT(self) -> None:
        self._operation()

    def do_DELETE(self) -> None:
        self._operation()

    def do_GET(self) -> None:
        if self._identifier():
            self._operation()
            return
        fault = self._fault("")
        if fault is None:
            self._reply(200, self._page())
        else:
            self._fail(fault)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _operation(self) -> None:
        identifier = self._identifier()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self._fault(identifier)
        if fault is not None and not fault.applied:
            self._fail(fault)
            return
        fields = json.loads(body)["fields"] if body else {}
        with self.fake.lock:
            status, content = self._apply(identifier, fields)
        if fault is not None:
            self._fail(fault)
            return
        self._reply(status, content)

    def _apply(self, identifier: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        documents = self.fake.documents
        there = identifier in documents
        if self.command == "POST":
            documents[identifier] = dict(fields)
        elif self.command == "DELETE":
            documents.pop(identifier, None)
        elif self.command == "GET":
            return (200, {"fields": documents[identifier]}) if there else (404, {})
        elif there:
            documents[identifier] |= {name: value["assign"] for name, value in fields.items()}
        elif "condition" in parse_qs(urlsplit(self.path).query):
            return 412, {"message": "ReturnCode(TEST_AND_SET_CONDITION_FAILED)"}
        return 200, {"id": f"id:image:image::{identifier}"}

    def _found(self) -> dict[str, Any]:
        """Which of the ids v0, v1 ... are there, and how many documents in all."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.fake.lock:
            ids = sorted({v for k, v in asked.items() if k[0] == "v"} & set(self.fake.documents))
            held = len(self.fake.documents)
        coverage = {"coverage": 100, "documents": held, "full": True, "nodes": 1}
        hits = [{"id": f"id:image:image::{i}", "relevance": 0.0, "fields": {"id": i}} for i in ids]
        return {
            "root": {"fields": {"totalCount": len(ids)}, "coverage": coverage, "children": hits}
        }

    def _page(self) -> dict[str, Any]:
        start = int(parse_qs(urlsplit(self.path).query).get("continuation", ["0"])[0])
        with self.fake.lock:
            ids = sorted(self.fake.documents)
        page: dict[str, Any] = {
            "documents": [{"id": f"id:image:image::{i}"} for i in ids[start : start + PAGE]]
        }
        if start + PAGE < len(ids):
            page["continuation"] = str(start + PAGE)
        return page

    def _identifier(self) -> str:
        return unquote(urlsplit(self.path).path.partition("/docid")[2].removeprefix("/"))

    def _fault(self, identifier: str) -> Fault | None:
        with self.fake.lock:
            request = Request(len(self.fake.requests), self.command, identifier)
            self.fake.requests.append(request)
        if self.fake.token and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return Fault(403, "Access denied")
        return self.fake.faults(request)

    def _fail(self, fault: Fault) -> None:
        if fault.status:
            self._reply(fault.status, {"message": fault.message}, fault.body)
            return
        time.sleep(fault.seconds)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reply(self, status: int, content: Mapping[str, Any], body: str = "") -> None:
        known = {"pathId": urlsplit(self.path).path, **content}
        data = (body or json.dumps(known)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
