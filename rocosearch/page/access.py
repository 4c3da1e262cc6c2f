"""Access checks before routing, and the headers of every answer.

A page of another site can make a browser send requests here. It must not read or change anything:
the Host must be a name of this server (against DNS rebinding), Sec-Fetch-Site and Origin must not
name another site. Requests with an ambiguous length are refused. Every refusal closes the
connection, and so does every answer to a request whose body was not read completely: the rest of a
body is never read as a request.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from encoders.base.errors import UserError

__all__ = ["MOST_BYTES", "Door", "Guard", "RefusedError", "error_body"]

MOST_BYTES = 32 << 20  # of a body

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII)
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


class RefusedError(UserError):
    """A refused request, with its HTTP status."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Door:
    """Host names of the server, and its access token ("": none).

    hosts: values of a Host header, in lower case.
    """

    hosts: frozenset[str]
    port: int
    token: str = ""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @classmethod
    def at(cls, host: str, port: int, names: tuple[str, ...] = (), token: str = "") -> Door:
        """A door for a server on `host`; `names`: further host names, with or without port."""
        shown = f"[{host}]" if ":" in host else host
        own = {f"{name}:{port}" for name in (*_LOOPBACK, shown)}
        named = {form for name in names for form in (name, f"{name}:{port}")}
        if port == 80:
            own |= {*_LOOPBACK, shown}
        return cls(frozenset(name.lower() for name in own | named), port, token)

    @property
    def cookie(self) -> str:
        """Name of the cookie, with the port: browsers share cookies between ports."""
        return f"rocosearch_{self.port}"

    def knows(self, given: str) -> bool:
        """Whether the token is correct."""
        return bool(self.token) and hmac.compare_digest(given.encode(), self.token.encode())

    def lets_in(self, headers: Headers) -> bool:
        """Whether a request has the token, or the cookie for it."""
        if not self.token:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return True
        kept = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return hmac.compare_digest(kept.encode(), self.session.encode())


class Guard:
    """ASGI middleware around the whole application.

    open_paths: methods and paths answered without the token. start_paths: paths that other
    sites may link to.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        open_paths: frozenset[tuple[str, str]],
        start_paths: frozenset[str],
    ) -> None:
        self.app = app
        self.door = door
        self.open_paths = open_paths
        self.start_paths = start_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        headers = Headers(scope=scope)
        unread = scope["method"] not in {"GET", "HEAD"}

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            if not message.get("more_body", False):
                unread = False
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _finished(message, close=unread or message["status"] >= 400)
            await send(message)

        try:
            self._check(scope, headers)
        except RefusedError as refusal:
            await _refuse(refusal, sending)
            return
        await self.app(scope, receiving, sending)

    def _check(self, scope: Scope, headers: Headers) -> None:
        _check_length(scope["method"], headers)
        self._check_host(headers.getlist("host"))
        self._check_site(scope, headers)
        if (scope["method"], scope["path"]) not in self.open_paths and not self.door.lets_in(
            headers
        ):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, "This server needs a token: Authorization: Bearer ..."
            )

    def _check_host(self, hosts: list[str]) -> None:
        if len(hosts) != 1:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"The request has {len(hosts)} Host headers; exactly one is required.",
            )
        if not _HOST.fullmatch(hosts[0]):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The Host header is not a host name.")
        if hosts[0].lower() not in self.door.hosts:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "This server answers only requests to its own name."
            )

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        here = headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
        asks_for_start = scope["method"] in {"GET", "HEAD"} and scope["path"] in self.start_paths
        if not here and not asks_for_start:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "This server answers only requests from its own page."
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != headers["host"].lower():
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "This server answers only requests from its own page."
            )


def error_body(sentence: str) -> bytes:
    """The JSON of a refusal."""
    return json.dumps({"error": sentence}, ensure_ascii=False).encode(errors="replace")


def _check_length(method: str, headers: Headers) -> None:
    lengths, chunked = headers.getlist("content-length"), "transfer-encoding" in headers
    if len(lengths) > 1 or (lengths and chunked):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The length of the body is given twice.")
    if method in {"GET", "HEAD"}:
        if chunked or lengths not in ([], ["0"]):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"A {method} request must have no body.")
        return
    if not lengths:
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing.")
    if not re.fullmatch(r"[0-9]{1,15}", lengths[0]):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is not a number of bytes.")
    if int(lengths[0]) > MOST_BYTES:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body has {int(lengths[0]):,} bytes; at most {MOST_BYTES:,} are accepted.",
        )


def _finished(message: Message, *, close: bool) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in message["headers"]}
    added = [*_RAW_HEADERS, (b"connection", b"close")] if close else _RAW_HEADERS
    return [*message["headers"], *(each for each in added if each[0] not in there)]


async def _refuse(refusal: RefusedError, send: Send) -> None:
    body = error_body(str(refusal))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
