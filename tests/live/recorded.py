"""Recorded answers of a real Vespa server, answered again over HTTP.

`recorded_engine` says what a real server once said, so that the client, and what stands on it
(evaluation above all), can be held against real JSON where no Vespa is at hand:

    with recorded_engine(load_recordings(Path("lexical.jsonl.gz"))) as (engine, queries):
        for name, query in queries.items():
            engine.search(query)

Records come in two forms: with the whole `response`, or shortened to `total`, `coverage` and
`hits` [id, relevance, features ...] in the order of `features`, from which the answer is built as
Vespa writes it. A question is found again by its words, profile, query vector and inputs, not by
its YQL: field names and grammar are those of the package that was recorded.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.types import Query, Retriever, VectorField
from tests.live.answering import AnsweringServer
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.http.connection import Credentials
from vespa_app.query.text import QueryText
from vespa_app.read.application import Application, ServedEncoder, ServedProfile

__all__ = ["Recording", "load_recordings", "recorded_engine"]

JSON = dict[str, Any]
VectorOf = Callable[[Any], NDArray[np.float32]]

STRICT = EngineSettings(strict=True, embed=False)

_NEAREST = re.compile(r"nearestNeighbor\((\w+), *(\w+)\)")
_TEXT = re.compile(r"@text\b")
_INPUT = re.compile(r"input\.query\((\w+)\)")


@dataclass(frozen=True)
class Recording:
    """One question to a real server, and its whole answer."""

    id: str
    kind: str
    request: Mapping[str, Any]
    status: int
    response: Mapping[str, Any]

    @property
    def profile(self) -> str:
        """The rank profile that was asked."""
        return str(self.request.get("ranking", "default"))

    @property
    def field(self) -> str:
        """The vector field that was searched, or ""."""
        found = _NEAREST.search(self._yql)
        return found[1] if found else ""

    @property
    def text(self) -> str:
        """The words that were searched, or ""."""
        return str(self.request.get("text", "")) if _TEXT.search(self._yql) else ""

    @property
    def vector(self) -> object:
        """What names the query vector, None where there is none."""
        found = _NEAREST.search(self._yql)
        return self.request.get(f"input.query({found[2]})") if found else None

    @property
    def inputs(self) -> dict[str, float]:
        """The numbers that were sent to the profile."""
        names = {name: _INPUT.fullmatch(name) for name in self.request}
        return {
            match[1]: float(self.request[name])
            for name, match in names.items()
            if match and isinstance(self.request[name], int | float)
        }

    @property
    def _yql(self) -> str:
        return str(self.request.get("yql", ""))


def load_recordings(
    path: Path, fields: Mapping[str, Mapping[str, object]] | None = None
) -> list[Recording]:
    """Read the searches of a file of records (JSON lines, .gz or not).

    fields: by document id, what its summaries hold beside the id (group_id, modality ...).
    """
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    records = map(json.loads, text.splitlines())
    return [
        Recording(
            str(record["id"]),
            str(record.get("kind") or record.get("mode", "")),
            record["request"],
            int(record["status"]),
            record.get("response") or _answer(record, fields or {}),
        )
        for record in records
        if isinstance(record.get("request"), dict)
    ]


def _answer(record: Mapping[str, Any], fields: Mapping[str, Mapping[str, object]]) -> JSON:
    """A shortened record as the answer that it was."""
    names = record.get("features", ())
    children = [
        {
            "id": f"id:image:image::{identifier}",
            "relevance": relevance,
            "source": "images",
            "fields": {
                "matchfeatures": dict(zip(names, features, strict=True)),
                "id": identifier,
                **fields.get(identifier, {}),
            },
        }
        for identifier, relevance, *features in record["hits"]
    ]
    root: JSON = {"id": "toplevel", "relevance": 1.0, "fields": {"totalCount": record["total"]}}
    root |= {name: record[name] for name in ("coverage", "errors") if record.get(name)}
    return {"root": {**root, "children": children}}


@contextmanager
def recorded_engine(
    recordings: Sequence[Recording],
    vector_of: VectorOf | None = None,
    *,
    documents: int | None = None,
    settings: EngineSettings = STRICT,
) -> Iterator[tuple[VespaEngine, dict[str, Query]]]:
    """A `VespaEngine` that is answered from `recordings`, and the queries it can be asked, by id.

    vector_of: the query vector that a record names; records with one are left out without it.
    Of records that ask the same (other grammars, other target hits) the first is kept: choose
    among them beforehand, by kind. documents: the count that the server tells; by default that
    of the records' coverage. A question that was not recorded is answered as Vespa answers an
    unknown rank profile: QueryError.
    """
    answers = _Answers(vector_of, documents)
    for recording in recordings:
        answers.add(recording)
    with AnsweringServer(answers) as server:
        engine = VespaEngine.connect(server.url, answers.application(), settings, Credentials())
        try:
            yield engine, dict(answers.queries)
        finally:
            engine.close()


@dataclass
class _Answers:
    """Looks the answer to a request of our own client up, by what it asks."""

    vector_of: VectorOf | None
    documents: int | None
    queries: dict[str, Query] = field(default_factory=dict)
    _by_key: dict[str, Recording] = field(default_factory=dict)
    _fields: dict[str, int] = field(default_factory=dict)

    def add(self, recording: Recording) -> None:
        """Take a recording in, unless one that asks the same is there or its vector is unknown."""
        words = QueryText.of(recording.text).words
        vector = None
        if recording.vector is not None:
            if self.vector_of is None:
                return
            vector = np.asarray(self.vector_of(recording.vector), np.float32)
            self._fields[recording.field] = len(vector)
        if not (words or vector is not None):
            return
        key = _key(words, recording.profile, _hex(vector), recording.inputs)
        if key in self._by_key:
            return
        self._by_key[key] = recording
        self.queries[recording.id] = Query(
            recording.text,
            vector,
            profile=recording.profile,
            inputs=recording.inputs,
            k=max(1, len(recording.response["root"].get("children", ()))),
            with_documents=False,
        )

    def application(self) -> Application:
        """What was recorded, as an application: profiles by name, with what they were asked by."""
        encoders = {name: _encoder(name, size) for name, size in sorted(self._fields.items())}
        profiles = {
            name: _profile(name, list(asked), encoders)
            for name, asked in _by_profile(self._by_key.values()).items()
        }
        default = next((n for n in ("hybrid", "lexical") if n in profiles), next(iter(profiles)))
        return Application(profiles, tuple(encoders.values()), default)

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The recorded answer, cut to the hits that are asked for."""
        if method != "POST" or not path.startswith("/search/"):
            return 404, b"{}"
        asked = json.loads(body)
        vectors = [v for n, v in asked.items() if _INPUT.fullmatch(n) and isinstance(v, str)]
        inputs = {
            match[1]: value
            for name, value in asked.items()
            if (match := _INPUT.fullmatch(name)) and isinstance(value, float)
        }
        if "text" not in asked and not vectors:
            return 200, json.dumps(self._count()).encode()
        profile = asked["ranking.profile"]
        key = _key(asked.get("text", ""), profile, "".join(vectors), inputs)
        found = self._by_key.get(key)
        if found is None:
            error = {"code": 4, "summary": "Invalid query parameter", "message": "not recorded"}
            return 400, json.dumps({"root": {"errors": [error]}}).encode()
        root = dict(found.response["root"])
        root["children"] = root.get("children", [])[: asked["hits"]]
        return found.status, json.dumps({**found.response, "root": root}).encode()

    def _count(self) -> JSON:
        covered = (r.response["root"].get("coverage", {}) for r in self._by_key.values())
        count = self.documents or max((c.get("documents", 0) for c in covered), default=0)
        coverage = {"coverage": 100, "documents": count, "full": True, "nodes": 1}
        return {"root": {"id": "toplevel", "fields": {"totalCount": count}, "coverage": coverage}}


def _key(words: str, profile: str, vector: str, inputs: Mapping[str, float]) -> str:
    return json.dumps([words, profile, vector, sorted(inputs.items())])


def _hex(vector: NDArray[np.float32] | None) -> str:
    return "" if vector is None else vector.astype(">f4").tobytes().hex()


def _encoder(name: str, dimension: int) -> ServedEncoder:
    """A field that was recorded; its vectors are sent as they are, of whatever length."""
    fingerprint = hashlib.sha256(name.encode()).hexdigest()
    return ServedEncoder(
        fingerprint[:8], VectorField(name, dimension, fingerprint, distance="angular")
    )


def _by_profile(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    found: dict[str, list[Recording]] = {}
    for recording in recordings:
        found.setdefault(recording.profile, []).append(recording)
    return found


def _profile(
    name: str, asked: Sequence[Recording], encoders: Mapping[str, ServedEncoder]
) -> ServedProfile:
    searched = next((each.field for each in asked if each.field), "")
    by: dict[Retriever, bool] = {
        "text": any(each.text for each in asked),
        "vector": bool(searched),
    }
    retrieve = tuple(name for name, does in by.items() if does)
    inputs = frozenset(name for each in asked for name in each.inputs)
    return ServedProfile(
        name,
        retrieve,
        reads=frozenset(retrieve),
        inputs=inputs,
        encoder=encoders.get(searched),
    )
