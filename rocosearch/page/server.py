"""The server behind the search page: it reads, it changes nothing.

It is meant for one person's own machine: it listens on 127.0.0.1 unless told otherwise, answers
only to the names it was started under (a page of a foreign site cannot reach it by DNS
rebinding), and refuses posts that another site's page sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs, unquote, urlsplit

from encoders.base.errors import UserError
from rocosearch.page.answers import Desk, read_asked
from rocosearch.page.pictures import Pictures

__all__ = ["MOST_BYTES", "PageServer"]

MOST_BYTES = 32 << 20  # of an image that asks
PATIENCE = 30.0  # seconds that a client may take to send its request

_OWN = ("127.0.0.1", "localhost")
_EVERYWHERE = ("0.0.0.0",)  # noqa: S104 - compared with, not listened on

_STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingHTTPServer):
    """A server that has its port; `serve_forever` answers until interrupted."""

    daemon_threads = True

    def __init__(self, desk: Desk, pictures: Pictures | None, host: str, port: int) -> None:
        """Listen on `port`, 0 for a free one. Raises UserError where that cannot be done."""
        self.desk = desk
        self.pictures = pictures
        self.host = host
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UserError(
                f"The page cannot listen on {host}:{port} ({error.strerror}): choose another "
                "--port."
            ) from None

    @property
    def url(self) -> str:
        """Where the page stands."""
        shown = "localhost" if self.host in (*_OWN, *_EVERYWHERE) else self.host
        return f"http://{shown}:{self.server_port}/"

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host header names this server."""
        names = {f"{name}:{self.server_port}" for name in (*_OWN, self.host)}
        return host.lower() in names or self.host in _EVERYWHERE


class _RefusedError(UserError):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "rocosearch"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def log_message(self, *_: object) -> None:
        """Say nothing: what people search for is not for logs."""

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_POST(self) -> None:
        self._guarded(self._post)

    def _guarded(self, answer: Callable[[], None]) -> None:
        try:
            self._check_caller()
            answer()
        except _RefusedError as refusal:
            self._send_json({"error": str(refusal)}, refusal.status)
        except UserError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - one request's fault is not the server's end
            told = f"Unexpected {type(error).__name__}: {error}. This is a fault of the program."
            self._send_json({"error": told}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_caller(self) -> None:
        if not self.server.answers_to(self.headers.get("Host", "")):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This page answers under its own name only.")
        here = self.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        if not here and urlsplit(self.path).path not in _STATIC:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This page answers to itself only.")

    def _get(self) -> None:
        url = urlsplit(self.path)
        if url.path in _STATIC:
            name, kind = _STATIC[url.path]
            self._send(files("rocosearch.page").joinpath("static", name).read_bytes(), kind)
        elif url.path == "/about":
            self._send_json(
                {**self.server.desk.about(), "pictures": self.server.pictures is not None}
            )
        elif url.path == "/search":
            self._send_json(self.server.desk.answer(read_asked(parse_qs(url.query))))
        elif url.path.startswith("/picture/"):
            self._send_picture(unquote(url.path.removeprefix("/picture/")), parse_qs(url.query))
        else:
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"There is nothing at {url.path[:100]}.")

    def _post(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/search":
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"There is nothing at {url.path[:100]}.")
        image = self._body()
        self._send_json(self.server.desk.answer(read_asked(parse_qs(url.query), image)))

    def _body(self) -> bytes:
        self.close_connection = True  # what is left unread of a refused body is no request
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "Say how long the image is.")
        if int(length) > MOST_BYTES:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The image has {int(length):,} bytes; at most {MOST_BYTES:,} are taken.",
            )
        return self.rfile.read(int(length))

    def _send_picture(self, identifier: str, parameters: dict[str, list[str]]) -> None:
        pictures, size = self.server.pictures, parameters.get("size", ["small"])[0]
        found = pictures.get(identifier, size) if pictures else None
        if found is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "This document has no picture here.")
        self._send(found, "image/jpeg", cache="private, max-age=3600")

    def _send_json(self, content: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self._send(body, "application/json; charset=utf-8", status)

    def _send(
        self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, cache: str = "no-store"
    ) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": kind, "Cache-Control": cache}
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
