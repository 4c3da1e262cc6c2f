"""Read an untrusted HTTP answer.

A server may send anything. `reading` turns what is wrong in an answer into a VespaGarbledError
that names server and path; the `as_...` functions say which part is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vespa_app.http.errors import VespaGarbledError

__all__ = [
    "Reply",
    "as_list",
    "as_number",
    "as_object",
    "as_text",
    "as_whole",
    "read_reply",
    "reading",
]

GZIP = b"\x1f\x8b"
HIDDEN = "***"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
LEAST_SECRET = 8  # a shorter one may stand in a document by chance


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: its status, and its JSON (None if the body is none).

    address: the server and path that gave it.
    """

    status: int
    content: object
    text: str = ""
    address: str = "The server"

    def at(self, *keys: str) -> object:
        """What stands at the path `keys` of its JSON, None if nothing does."""
        found = self.content
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def message(self) -> str:
        """What the server says of an error, "" if it says nothing in Vespa's way."""
        return str(self.at("message") or "")


def read_reply(status: int, data: bytes, kind: str, address: str, secret: str = "") -> Reply:
    """The answer of `address` with this body; `kind` is its Content-Type.

    secret: a token that we sent, and that must not come back to be printed. Raises
    VespaGarbledError for a good status with a JSON body that is damaged or too deep.
    """
    hide = bool(secret) and (status != 200 or len(secret) >= LEAST_SECRET)
    body = data.replace(secret.encode(), HIDDEN.encode()) if hide else data
    content = None
    try:
        content = json.loads(body) if body else None
        if hide and status != 200:
            content = _changed(content, lambda text: text.replace(secret, HIDDEN))
        if _SURROGATE.search(body):
            content = _changed(content, _whole_characters)
    except (ValueError, RecursionError) as error:
        if status < 400 and ("json" in kind or isinstance(error, RecursionError)):
            raise VespaGarbledError(
                f"{address} sent a JSON answer that {_fault(error, data)}.", status=status
            ) from None
    text = body.decode("utf-8", "replace") if content is None else ""
    return Reply(status, content, text, address)


def _fault(error: Exception, data: bytes) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if data.startswith(GZIP):
        return "is compressed, although that was not requested"
    return "is truncated or damaged"


def _changed(content: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 (JSON)
    """JSON may write a character as an escape, so its texts are looked through as well."""
    if isinstance(content, str):
        return change(content)
    if isinstance(content, list):
        return [_changed(each, change) for each in content]
    if isinstance(content, dict):
        return {change(key): _changed(each, change) for key, each in content.items()}
    return content


def _whole_characters(text: str) -> str:
    """Half a surrogate pair is no character, and cannot be printed or stored."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def reading(address: str, status: int = 200) -> Iterator[None]:
    """Raise VespaGarbledError for whatever is wrong in an answer that is read inside."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _garbled(address, status, str(error)[:200]) from None
    except RecursionError:
        raise _garbled(address, status, "it is nested too deeply") from None


def _garbled(address: str, status: int, why: str) -> VespaGarbledError:
    return VespaGarbledError(
        f"{address} answered, but not in Vespa's format ({why}): check URL, port, and any proxy.",
        status=status,
    )


def as_object(value: object, what: str) -> Mapping[str, Any]:
    """`value`, which must be a JSON object; raises TypeError naming `what`, as those below do."""
    if not isinstance(value, dict):
        raise _wrong(value, what, "an object")
    return value


def as_list(value: object, what: str) -> Sequence[Any]:
    """`value`, which must be a JSON list."""
    if not isinstance(value, list):
        raise _wrong(value, what, "a list")
    return value


def as_text(value: object, what: str) -> str:
    """`value`, which must be a text."""
    if not isinstance(value, str):
        raise _wrong(value, what, "a text")
    return value


def as_number(value: object, what: str) -> float:
    """`value`, which must be a number, or a text that Vespa writes for one (NaN, Infinity)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong(value, what, "a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise TypeError(f"{what} is {str(value)[:40]!r}, not a number") from None


def as_whole(value: object, what: str) -> int:
    """`value`, which must be a whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(value, what, "a whole number")
    return value


def _wrong(value: object, what: str, wanted: str) -> TypeError:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    found = kinds.get(type(value), repr(value)[:40])
    return TypeError(f"{what} is {found}, not {wanted}")
