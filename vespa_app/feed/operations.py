"""Document operations, their bodies, and the meaning of HTTP answers.

https://docs.vespa.ai/en/reference/api/document-v1.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_CONNECTION",
    "Answer",
    "Operation",
    "OperationKind",
    "Verdict",
    "feed_line",
    "judge_operation",
    "operation_body",
    "unusable_id",
]

OperationKind = Literal["put", "update", "remove"]
# com.yahoo.text.Text.isTextCharacter, with the last two code points of every plane.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufdd0-\ufddf]")
NO_CONNECTION = 0  # in place of an HTTP status


class Verdict(Enum):
    """What an HTTP answer means for an operation."""

    DONE = "done"
    ABSENT = "absent"  # an update of a document that is not there
    REFUSED = "refused"  # the operation's own fault: it will never pass
    AGAIN = "again"  # may pass by itself
    STOP = "stop"  # nothing will pass until somebody acts


@dataclass(frozen=True)
class Operation:
    """Put a whole document, set some of its fields, or remove it.

    fields: as /document/v1/ takes them in a put; an update assigns each. A numpy array is a
    vector, float32 for a field of float cells; a dict of them holds vectors by label.
    """

    kind: OperationKind
    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """How an operation ended; `message` is Vespa's own, `attempts` counts the requests."""

    verdict: Verdict
    status: int
    message: str = ""
    attempts: int = 1


_STATUSES = {
    NO_CONNECTION: Verdict.AGAIN,
    401: Verdict.STOP,
    403: Verdict.STOP,
    408: Verdict.AGAIN,
    429: Verdict.AGAIN,
    502: Verdict.AGAIN,
    503: Verdict.AGAIN,
    504: Verdict.AGAIN,
    507: Verdict.STOP,
    599: Verdict.AGAIN,
}


def judge_operation(
    kind: OperationKind | Literal["visit"], status: int, content: object
) -> Verdict:
    """What a status means, given the parsed body (None if it is no JSON).

    - 200 counts only in Vespa's own words: a proxy's page is no success.
    - 404 with a message is what updates and removes get while a content node is down: the
      document need not be absent. A 404 that is not Vespa's comes from a wrong address.
    - 412 is the answer to an update whose condition, that the document is there, fails.
    - 500 with a message names the document's own fault (a vector that is too long).
    """
    ours = isinstance(content, dict) and "pathId" in content
    explained = isinstance(content, dict) and ours and bool(content.get("message"))
    if status in _STATUSES:
        return _STATUSES[status]
    if status < 400:
        return Verdict.DONE if status == 200 and ours else Verdict.STOP
    if status == 404:
        return Verdict.AGAIN if explained else Verdict.STOP
    if status == 412 and kind == "update":
        return Verdict.ABSENT
    return Verdict.AGAIN if status >= 500 and not explained else Verdict.REFUSED


def unusable_id(identifier: str) -> str:
    """Why this cannot be a document's id, or "".

    The first three would be read as parts of the path; of the characters Vespa refuses some
    without a reason, and asking for a document of such an id is an error, not its absence.
    """
    if identifier in {"", ".", ".."}:
        return f"{identifier!r} cannot be a document's id."
    try:
        identifier.encode()
    except UnicodeEncodeError:
        return "The id has lone surrogates."
    refused = sorted({c for c in identifier if _ILLEGAL.match(c) or ord(c) & 0xFFFE == 0xFFFE})
    if refused:
        named = ", ".join(f"U+{ord(c):04X}" for c in refused)
        return f"The id has {named}, which Vespa accepts in no string."
    return ""


def operation_body(operation: Operation) -> bytes:
    """The body of the request; a remove has none."""
    if operation.kind == "remove":
        return b""
    return json.dumps({"fields": _fields(operation)}).encode()


def feed_line(operation: Operation, schema: str) -> str:
    """The operation as a line of a feed file for the `vespa feed` client."""
    line: dict[str, Any] = {operation.kind: f"id:{schema}:{schema}::{operation.id}"}
    if operation.kind != "remove":
        line["fields"] = _fields(operation)
    return json.dumps(line) + "\n"


def _fields(operation: Operation) -> dict[str, Any]:
    fields = {name: _compact(value) for name, value in operation.fields.items()}
    if operation.kind == "update":
        return {name: {"assign": value} for name, value in fields.items()}
    return fields


def _compact(value: Any) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, np.ndarray):
        return {"values": _numbers(value)}
    if isinstance(value, dict) and all(isinstance(each, np.ndarray) for each in value.values()):
        return {"blocks": {label: _numbers(each) for label, each in value.items()}}
    return value


def _numbers(vector: NDArray[np.floating]) -> str | list[float]:
    """A float32 vector as hex: exact, half as long, and Vespa refuses one of a wrong length."""
    if vector.dtype == np.float32:
        return vector.astype(">f4").tobytes().hex()
    numbers: list[float] = vector.tolist()
    return numbers
