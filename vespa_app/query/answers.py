"""Read and check Vespa's answers to queries.

`read_answer` turns any answer of /search/ into an `Answer`. `judge` raises what an answer means,
or names what is missing from it. `to_result` gives what the engine's contract asks for.
Format: https://docs.vespa.ai/en/reference/querying/default-result-format.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.attributes import LARGEST, is_number, shown_number, told
from ranking.names import ROLES
from ranking.types import Attribute, Coverage, Document, Result, Value
from vespa_app.http.errors import (
    QUERY_CODES,
    VespaError,
    VespaGarbledError,
    VespaQueryError,
    VespaUnavailableError,
    error_for,
    words_of,
)
from vespa_app.http.reply import (
    Reply,
    as_list,
    as_number,
    as_object,
    as_text,
    as_whole,
    reading,
)

__all__ = [
    "NO_NODES",
    "Answer",
    "Message",
    "Row",
    "document_of",
    "judge",
    "own_value",
    "read_answer",
    "to_result",
    "value_counts",
]

# While summaries are fetched: "error in fill", "no answer while pinging", "timed out", "empty
# summaries". Hits are right as far as they go, but some have no content.
FILL_CODES = frozenset({8, 12, 13})

_OF_VECTORS = tuple(f"{role}_" for role in ROLES)


NO_NODES = "no-nodes"
"""The reason in `Coverage.degraded` if no content node took part in the answer."""


@dataclass(frozen=True)
class Message:
    """One of Vespa's errors."""

    code: int
    summary: str = ""
    message: str = ""
    source: str = ""

    @property
    def words(self) -> str:
        """Its summary and message in one line."""
        parts = (words_of(self.summary).rstrip("."), words_of(self.message))
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True)
class Row:
    """A hit, a group or a list of groups, in the order Vespa gave.

    features: match-features. other: everything else that Vespa said of it (value, label,
    continuation, limits ...).
    """

    id: str
    relevance: float
    source: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Row, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_hit(self) -> bool:
        """Whether it is a document, not a group."""
        return not self.id.startswith(("group:", "grouplist:", "hitlist:"))

    def hits(self) -> Iterator[Row]:
        """Yield the documents under it, or itself where it is one."""
        if self.is_hit:
            yield self
        for child in self.children:
            yield from child.hits()


@dataclass(frozen=True)
class Answer:
    """One answer of /search/; `coverage` and `nodes` are None if Vespa gave none.

    address: of the server that gave it.
    """

    status: int
    total: int
    rows: tuple[Row, ...]
    coverage: Coverage | None
    nodes: int | None
    messages: tuple[Message, ...]
    timing: Mapping[str, float] = field(default_factory=dict)
    trace: Any = None
    address: str = "The server"

    @property
    def documents(self) -> tuple[Row, ...]:
        """The hits that stand outside groups."""
        return tuple(row for row in self.rows if row.is_hit)


def read_answer(reply: Reply) -> Answer:
    """Read an answer of /search/, whatever its status.

    Raises the VespaError for the status where it is not in Vespa's format (a proxy's page, the
    container's 404).
    """
    if not isinstance(reply.at("root"), dict):
        raise _not_an_answer(reply)
    with reading(reply.address, reply.status):
        content = as_object(reply.content, "the answer")
        root = as_object(content["root"], "root")
        given = root.get("coverage")
        coverage = None if given is None else as_object(given, "coverage")
        timing = as_object(content.get("timing", {}), "timing")
        fields = as_object(root.get("fields", {}), "fields")
        return Answer(
            status=reply.status,
            total=as_whole(fields.get("totalCount", 0), "totalCount"),
            rows=tuple(_row(child) for child in as_list(root.get("children", []), "children")),
            coverage=None if coverage is None else _coverage(coverage),
            nodes=None if coverage is None else as_whole(coverage.get("nodes", 0), "nodes"),
            messages=tuple(_message(each) for each in as_list(root.get("errors", []), "errors")),
            timing={name: as_number(value, name) for name, value in timing.items()},
            trace=content.get("trace"),
            address=reply.address,
        )


def _not_an_answer(reply: Reply) -> VespaError | VespaQueryError:
    if reply.status == 200:
        return VespaGarbledError(
            f"{reply.address} gave no answer of Vespa's search: check the URL and port.",
            status=200,
        )
    return error_for(reply.status, None, reply.message)


def _row(given: object) -> Row:
    item = as_object(given, "a hit")
    fields = dict(as_object(item.get("fields", {}), "a hit's fields"))
    features = as_object(fields.pop("matchfeatures", {}), "matchfeatures")
    as_text(fields.get("id", ""), "a hit's field id")
    for name, value in features.items():
        _number(value, name)
    known = {"id", "relevance", "source", "fields", "children"}
    return Row(
        id=as_text(item.get("id", ""), "a hit's id"),
        relevance=_number(item.get("relevance"), "relevance"),
        source=as_text(item.get("source", ""), "source"),
        fields=fields,
        features=features,
        children=tuple(_row(child) for child in as_list(item.get("children", []), "children")),
        other={name: value for name, value in item.items() if name not in known},
    )


def _number(value: object, what: str) -> float:
    """JSON has no infinities and no NaN: Vespa writes them as strings or leaves them out.

    A feature that is a tensor has no number either.
    """
    return math.nan if value is None or isinstance(value, dict) else as_number(value, what)


def _message(given: object) -> Message:
    error = as_object(given, "an error")
    return Message(
        code=int(as_number(error["code"], "an error's code")),
        summary=str(error.get("summary", "")),
        message=str(error.get("message", "")),
        source=str(error.get("source", "")),
    )


def _coverage(given: Mapping[str, Any]) -> Coverage:
    degraded = as_object(given.get("degraded", {}), "degraded")
    reasons = [name for name, holds in degraded.items() if holds]
    if not reasons and not given.get("full", True):
        reasons = ["not-full"]
    # A dead content node: "coverage 100, full true", and documents 0, nodes 0.
    if as_whole(given.get("nodes", 0), "nodes") == 0:
        reasons.append(NO_NODES)
    return Coverage(
        percent=as_number(given.get("coverage", 0.0), "coverage"),
        documents=as_whole(given.get("documents", 0), "documents"),
        degraded=tuple(reasons),
    )


def judge(answer: Answer) -> Coverage:
    """The answer's coverage, with what its errors add to `degraded`.

    Raises VespaQueryError if the query is at fault (even with hits), and the VespaError of
    the first error where there are no hits to go on with, or where no node searched anything.
    """
    for message in answer.messages:
        if message.code in QUERY_CODES:
            raise error_for(answer.status, message.code, message.words)
    if answer.status != 200 or (answer.messages and not answer.rows):
        first = answer.messages[0] if answer.messages else None
        raise error_for(answer.status, first.code if first else None, first.words if first else "")
    if answer.coverage is None or answer.nodes == 0:
        raise VespaUnavailableError(
            "No content node searched anything: check that they are up, and that the application "
            "has the requested schema.",
            status=answer.status,
        )
    reasons = list(answer.coverage.degraded)
    if any(m.code in FILL_CODES for m in answer.messages):
        reasons.append("summaries")
    if any(m.code not in FILL_CODES for m in answer.messages):
        reasons.append("errors")
    return Coverage(answer.coverage.percent, answer.coverage.documents, tuple(reasons))


def to_result(
    answer: Answer,
    coverage: Coverage,
    rows: Sequence[Row],
    attributes: Sequence[Attribute] = (),
    *,
    with_documents: bool,
) -> Result:
    """The contract's result of chosen `rows`, in their order.

    Warnings repeat Vespa's errors and name what is missing.
    """
    features = {name: None for row in rows for name in row.features}
    labels = [name for name in features if name.startswith("closest(")]
    names = [name for name in features if name not in labels]
    facets = value_counts(answer, attributes)
    with reading(answer.address):
        shown = rows if with_documents else ()
        documents = tuple(document_of(row.fields, attributes) for row in shown)
    return Result(
        ids=tuple(str(row.fields["id"]) for row in rows),
        scores=np.array([row.relevance for row in rows], dtype=np.float64),
        features={
            name: np.array([_number(row.features.get(name), name) for row in rows], np.float64)
            for name in names
        },
        documents=documents,
        total=answer.total,
        facets=facets,
        coverage=coverage,
        timing=_timing(answer.timing),
        warnings=_warnings(answer, coverage),
        closest={name: tuple(_label(row.features.get(name)) for row in rows) for name in labels},
    )


def _label(value: object) -> str:
    """The one label of a tensor of one cell; "" for an empty one."""
    cells = as_object(as_object(value or {}, "closest").get("cells", {}), "cells")
    return next(iter(cells), "")


def value_counts(answer: Answer, attributes: Sequence[Attribute] = ()) -> dict[str, dict[str, int]]:
    """The counts that the answer's grouping gives: field -> value -> documents."""
    own = {each.name: each for each in attributes}
    with reading(answer.address):
        named = {
            as_text(groups.other.get("label", ""), "label"): groups.children
            for root in answer.rows
            if not root.is_hit
            for groups in root.children
        }
        return {name: _counted(groups, own.get(name)) for name, groups in named.items()}


def _counted(groups: Sequence[Row], own: Attribute | None) -> dict[str, int]:
    """How many documents have each value, most frequent first, then by value."""
    counts = {
        _group_value(group.other.get("value", ""), own): as_whole(
            group.fields.get("count()", 0), "count()"
        )
        for group in groups
    }
    found = ((value, count) for value, count in counts.items() if value and count)
    return dict(sorted(found, key=lambda each: (-each[1], each[0])))


def _group_value(value: object, own: Attribute | None) -> str:
    """A group's value as a filter names it; "" for documents that have none."""
    text = as_text(value, "value")
    if own is None or not is_number(own):
        return text
    number = int(text)
    return "" if abs(number) > LARGEST else told(shown_number(own, number))


def _timing(timing: Mapping[str, float]) -> dict[str, float]:
    names = {"querytime": "match", "summaryfetchtime": "summaries", "searchtime": "total"}
    return {names.get(name, name): value for name, value in timing.items()}


def _warnings(answer: Answer, coverage: Coverage) -> tuple[str, ...]:
    said = [f"Vespa: {message.words}" for message in answer.messages]
    if not coverage.full:
        why = ", ".join(coverage.degraded) or "no reason given"
        said.append(
            f"Only {coverage.percent:g} % of the documents were searched, or not all hits could "
            f"be shown ({why})."
        )
    return tuple(said)


def document_of(fields: Mapping[str, Any], attributes: Sequence[Attribute] = ()) -> Document:
    """The document of a summary or of /document/v1/; vectors where the fields hold any.

    attributes: fields of one's own; a missing bool is false, as Vespa has it.

    Raises TypeError or ValueError for a field of another type than Vespa gives it.
    """
    tensors = {
        name: value
        for name, value in fields.items()
        if name.startswith(_OF_VECTORS) and isinstance(value, dict)
    }
    labelled = {
        name: {label: _vector(v) for label, v in as_object(each["blocks"], name).items()}
        for name, each in tensors.items()
        if each.get("blocks")
    }

    def text(name: str) -> str:
        return as_text(fields.get(name) or "", name)

    def texts(name: str) -> tuple[str, ...]:
        return tuple(as_text(each, name) for each in as_list(fields.get(name) or [], name))

    return Document(
        id=text("id"),
        caption=text("caption") if fields.get("caption") is not None else None,
        vectors={n: _vector(each["values"]) for n, each in tensors.items() if "values" in each},
        labelled=labelled,
        concepts=texts("concepts"),
        concept_names=texts("concept_names"),
        group_id=text("group_id"),
        modality=text("modality"),
        source=text("source"),
        licence=text("licence"),
        split=text("split"),
        image_url=text("image_url"),
        predicted_concepts=texts("predicted_concepts"),
        pseudo_caption=text("pseudo_caption"),
        attributes={own.name: v for own in attributes if (v := own_value(own, fields)) is not None},
    )


def own_value(own: Attribute, fields: Mapping[str, Any]) -> Value | None:
    """A value of one's own field, None where it is missing (a whole number as -2**63)."""
    value = fields.get(own.name)
    if value is None or value == "":
        return None
    if own.type == "bool":
        return value is True
    if not is_number(own):
        return as_text(value, own.name)
    number = as_number(value, own.name)
    missing = math.isnan(number) or (own.type != "float" and abs(number) > LARGEST)
    return None if missing else shown_number(own, number)


def _vector(values: str | Sequence[float]) -> NDArray[np.float32]:
    """Numbers, or hex of big-endian float32: Vespa writes either, as it is asked."""
    if isinstance(values, str):
        return np.frombuffer(bytes.fromhex(values), ">f4").astype(np.float32)
    return np.array(values, dtype=np.float32)
