"""The errors of requests to a Vespa server.

    UserError
    ├── QueryError
    │   └── VespaQueryError             400: Vespa says that the query is at fault
    └── EngineError
        └── VespaError                  the rest, with `status` and `code` where Vespa gave one
            ├── VespaUnreachableError   no connection, or one that broke
            ├── VespaUntrustedError     TLS: a certificate of one side is not trusted by the other
            ├── VespaUnavailableError   503: no content node answers, or no capacity
            ├── VespaOverloadedError    429: too many requests
            ├── VespaTimeoutError       504, code 12, or no answer in time
            ├── VespaFullError          507: disk or memory is full
            ├── VespaRefusedError       401, 403: certificate or token not accepted
            ├── VespaDegradedError      hits from a part of the corpus, where that will not do
            └── VespaGarbledError       an answer that is not one of Vespa's

Codes: https://docs.vespa.ai/en/reference/querying/default-result-format.html and
com.yahoo.container.protect.Error in Vespa's source.
"""

from __future__ import annotations

from encoders.base.printable import printable
from ranking.types import EngineError, QueryError

__all__ = [
    "RETRIED",
    "VespaDegradedError",
    "VespaError",
    "VespaFullError",
    "VespaGarbledError",
    "VespaOverloadedError",
    "VespaQueryError",
    "VespaRefusedError",
    "VespaTimeoutError",
    "VespaUnavailableError",
    "VespaUnreachableError",
    "VespaUntrustedError",
    "error_for",
    "words_of",
]

LONGEST = 600

# Vespa's codes of errors: illegal query, invalid parameter, bad request.
QUERY_CODES = frozenset({3, 4, 17})
UNAVAILABLE_CODES = frozenset({0, 10})
TIMEOUT_CODE = 12


class VespaError(EngineError):
    """A Vespa server, or the way to it, failed; `code` is Vespa's own, None if it gave none."""

    def __init__(self, message: str, *, status: int = 0, code: int | None = None) -> None:
        super().__init__(printable(message))
        self.status = status
        self.code = code


class VespaUnreachableError(VespaError):
    """No connection, or one that broke."""


class VespaUntrustedError(VespaError):
    """A certificate is not trusted: the server's by this client, or this client's by the server."""


class VespaUnavailableError(VespaError):
    """The server is there, but cannot answer now."""


class VespaOverloadedError(VespaError):
    """Too many requests."""


class VespaTimeoutError(VespaError):
    """No answer, or no whole one, in time."""


class VespaFullError(VespaError):
    """Disk or memory of a content node is full: feeding is blocked."""


class VespaRefusedError(VespaError):
    """The server does not accept the certificate or token."""


class VespaDegradedError(VespaError):
    """The answer covers only a part of the corpus."""


class VespaGarbledError(VespaError):
    """The answer is not one of Vespa's: another server, or a proxy, answered."""


class VespaQueryError(QueryError):
    """Vespa says that the query is at fault."""

    def __init__(self, message: str, *, status: int = 400, code: int | None = None) -> None:
        super().__init__(printable(message))
        self.status = status
        self.code = code


_REFUSED = "Vespa does not accept this client; check certificate, key and token"
_KINDS: dict[int, tuple[type[VespaError], str]] = {
    401: (VespaRefusedError, _REFUSED),
    403: (VespaRefusedError, _REFUSED),
    404: (VespaGarbledError, "No Vespa answers at this address; check URL and port"),
    429: (VespaOverloadedError, "Vespa has too many requests; send fewer at once"),
    503: (VespaUnavailableError, "Vespa cannot answer now; check that its nodes are up"),
    504: (VespaTimeoutError, "Vespa timed out; allow more time, or check that its nodes are up"),
    507: (VespaFullError, "Vespa's disk or memory is full; free some, or add nodes"),
}

RETRIED = (VespaUnreachableError, VespaUnavailableError, VespaOverloadedError)
"""Temporary errors, after which a read is retried."""


def error_for(status: int, code: int | None, words: str) -> VespaError | VespaQueryError:
    """The exception for an HTTP status and Vespa's error code, with Vespa's message.

    The code says more than the status: with any hits, errors come with status 200.
    """
    said = words_of(words) or f"HTTP status {status}"
    if code in QUERY_CODES or (code is None and status == 400):
        return VespaQueryError(f"Vespa rejects the query: {said}", status=status, code=code)
    kind, told = _kind(status, code)
    return kind(f"{told}: {said}", status=status, code=code)


def _kind(status: int, code: int | None) -> tuple[type[VespaError], str]:
    if code == TIMEOUT_CODE:
        return _KINDS[504]
    if code in UNAVAILABLE_CODES:
        return _KINDS[503]
    if 300 <= status < 400:
        return VespaGarbledError, (
            "The server redirects to another address, which is not followed; name Vespa's own URL"
        )
    return _KINDS.get(status, (VespaError, "Vespa failed"))


def words_of(message: object, longest: int = LONGEST) -> str:
    """What a server says, on one line, fit to be printed, and no longer than `longest`.

    Vespa repeats a rejected query vector in full, and explains a rejected schema at length.
    """
    words = printable(" ".join(str(message).split()))
    return words if len(words) <= longest else f"{words[:longest]} ..."
