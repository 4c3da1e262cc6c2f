"""What goes wrong between this process and a Vespa server.

    UserError
    ├── QueryError
    │   └── VespaQueryError        400: Vespa says that the query is at fault
    └── EngineError
        └── VespaError             everything else, with `status` and `code` where Vespa gave one
            ├── VespaUnreachable   no connection, or one that broke
            ├── VespaUnavailable   503: no content node answers, or no capacity
            ├── VespaOverloaded    429: too many requests
            ├── VespaTimeout       504, code 12, or no answer in time
            ├── VespaFull          507: disk or memory is full
            ├── VespaRefused       401, 403: certificate or token not accepted
            ├── VespaDegraded      hits from a part of the corpus, where that is not good enough
            └── VespaGarbled       an answer that is not one of Vespa's

Codes: https://docs.vespa.ai/en/reference/querying/default-result-format.html and
com.yahoo.container.protect.Error in Vespa's source.
"""

from __future__ import annotations

from ranking.types import EngineError, QueryError

__all__ = [
    "RETRIED",
    "VespaDegraded",
    "VespaError",
    "VespaFull",
    "VespaGarbled",
    "VespaOverloaded",
    "VespaQueryError",
    "VespaRefused",
    "VespaTimeout",
    "VespaUnavailable",
    "VespaUnreachable",
    "error_for",
]

LONGEST = 600

# Vespa's codes of errors: illegal query, invalid parameter, bad request.
QUERY_CODES = frozenset({3, 4, 17})
UNAVAILABLE_CODES = frozenset({0, 10})
TIMEOUT_CODE = 12


class VespaError(EngineError):
    """A Vespa server, or the way to it, failed; `code` is Vespa's own, None where it gave none."""

    def __init__(self, message: str, *, status: int = 0, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class VespaUnreachable(VespaError):
    """No connection, or one that broke."""


class VespaUnavailable(VespaError):
    """The server is there, but cannot answer now."""


class VespaOverloaded(VespaError):
    """Too many requests."""


class VespaTimeout(VespaError):
    """No answer, or no whole one, in time."""


class VespaFull(VespaError):
    """Disk or memory of a content node is full: feeding is blocked."""


class VespaRefused(VespaError):
    """The server does not accept the certificate or token."""


class VespaDegraded(VespaError):
    """The answer covers only a part of the corpus."""


class VespaGarbled(VespaError):
    """The answer is not one of Vespa's: another server, or a proxy, answered."""


class VespaQueryError(QueryError):
    """Vespa says that the query is at fault."""

    def __init__(self, message: str, *, status: int = 400, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


RETRIED = (VespaUnreachable, VespaUnavailable, VespaOverloaded)
"""What may pass by itself, so that reading again is worth while."""


def error_for(status: int, code: int | None, words: str) -> VespaError | VespaQueryError:
    """The exception for an HTTP status and Vespa's error code, told in Vespa's own words.

    The code says more than the status: with any hits, errors come with status 200.
    """
    said = _clip(words) or f"HTTP status {status}"
    if code in QUERY_CODES or (code is None and status == 400):
        return VespaQueryError(f"Vespa rejects the query: {said}", status=status, code=code)
    kind, told = _kind(status, code)
    return kind(f"{told}: {said}", status=status, code=code)


def _kind(status: int, code: int | None) -> tuple[type[VespaError], str]:
    if code == TIMEOUT_CODE or status == 504:
        return VespaTimeout, "Vespa timed out; allow more time, or see whether its nodes are up"
    if code in UNAVAILABLE_CODES or status == 503:
        return VespaUnavailable, "Vespa cannot answer now; see whether its content nodes are up"
    if status == 429:
        return VespaOverloaded, "Vespa has too many requests; send fewer at once"
    if status == 507:
        return VespaFull, "Vespa's disk or memory is full; free some, or add nodes"
    if status in {401, 403}:
        return VespaRefused, "Vespa does not accept this client; check certificate, key and token"
    if status == 404 and code is None:
        return VespaGarbled, "Nothing of Vespa's answers at this address; check the URL and port"
    return VespaError, "Vespa failed"


def _clip(words: str) -> str:
    """Vespa repeats a rejected query vector in full, and explains a rejected schema at length."""
    words = " ".join(words.split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} ..."
