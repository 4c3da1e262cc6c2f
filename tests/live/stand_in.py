"""A stand-in for a whole Vespa server, so that the live suite itself is tried out offline.

It takes packages as a config server does, keeps documents as /document/v1/ does, and answers the
queries of this project's client with an embedded engine over the deployed schema. It shows that
the suite runs and asks for what it can get; what Vespa does is shown by Vespa alone.

    python -m tests.live.stand_in
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from encoders.inference.reranker import RERANKER_GRAPH, RerankerManifest
from ranking.attributes import is_number, number_of, shown_number, told, value_of
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.segment.postings import idf
from ranking.text.fields import texts_of
from ranking.text.tokens import tokenize
from ranking.types import Attribute, Filter, Query, QueryError
from tests.live.answering import AnsweringServer
from tests.live.kit import KIT, Kit, check_recorded
from tests.live.server import CONFIG_URL, URL
from tests.vespa_records.schema_file import read_schema
from vespa_app.query.answers import document_of
from vespa_app.read.application import read_application

TENANT = "/application/v2/tenant/default"
INSTANCE = f"{TENANT}/application/default/environment/prod/region/default/instance/default"
DOCUMENTS = "/document/v1/image/image/docid"
UP = {"status": {"code": "up"}}
SUITE = ("tests/live", "tests/engine_contract")
PAGE = 100  # visits give pages of no certain length
BLANK = "schemas/blank.sd"

_TOKEN = r"\(\{[^}]*\}@(?:\w+)\)"
_TEST = re.compile(
    r"(?P<word>\w+) contains @(?P<value>\w+)"
    r"|(?P<flag>\w+) = (?P<held>true|false)"
    r"|range\((?P<number>\w+), (?P<low>[^,()]+), (?P<high>[^()]+)\)"
    rf"|(?P<text>\w+) contains (?:\(\{{[^}}]*\}}phrase\((?P<phrase>(?:{_TOKEN}(?:, )?)+)\)\)"
    rf"|(?P<one>{_TOKEN}))"
)
_HOLDS = re.compile(r" where (\w+) contains \(\{[^}]*\}@term\)$")
_WIDER = re.compile(r"contains \(\{[^}]*significance: ([\d.e+-]+)\}@(\w+)\)")
_ANY = re.sub(r"\?P<\w+>", "?:", _TEST.pattern)
_CONDITION = re.compile(rf"(!?)\(((?:(?:{_ANY})(?: or )?)+|false)\)")
_VECTOR = re.compile(
    r"\{targetHits: (\d+)(?:, distanceThreshold: ([\d.]+))?\}nearestNeighbor\((\w+), (\w+)\)"
)
_GROUP = re.compile(r"all\(group\((\w+)\) each\(output\(count\(\)\)\)\)")
_SELECTION = re.compile(r'image\.(\w+) == "(\w+)"')


@dataclass
class StandIn:
    """The server's state; `answer` is one request.

    record: a folder for each package that is deployed, and beside it (`.jsonl`) what it was asked.
    """

    package: Path
    record: Path | None = None
    documents: dict[str, dict] = field(default_factory=dict)
    session: int = 1
    _engine: EmbeddedEngine | None = None
    _own: tuple[Attribute, ...] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(target)
        path, parameters = parts.path, dict(parse_qsl(parts.query))
        with self._lock:
            if path.startswith("/document/v1/"):
                status, content = self._document(method, path, parameters, body)
            elif path == "/search/":
                if self.record is not None:
                    with self._recorded.with_suffix(".jsonl").open("ab") as asked:
                        asked.write(body + b"\n")
                status, content = self._search(json.loads(body))
            elif path == f"{TENANT}/prepareandactivate":
                status, content = self._deploy(body)
            elif path.startswith(f"{INSTANCE}/content/"):
                return self._content(path.removeprefix(f"{INSTANCE}/content/"), path)
            elif path == f"{INSTANCE}/serviceconverge":
                status, content = 200, {"converged": True}
            else:
                status, content = 200, UP
        return status, json.dumps(content).encode()

    def _deploy(self, data: bytes) -> tuple[int, dict]:
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                archive.extractall(folder)
            new = Path(folder)
            models = re.findall(r'path="(models/[^"]+)"', (new / "services.xml").read_text())
            missing = [name for name in models if not (new / name).exists()]
            if missing:
                said = {"error-code": "INVALID_APPLICATION_PACKAGE", "message": str(missing)}
                return 400, said
            blank = (new / BLANK).exists()
            for path in sorted(self.package.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            new_files = [path for path in new.rglob("*") if path.is_file()]
            for path in new_files:
                out = self.package / path.relative_to(new)
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(path.read_bytes())
        self.session += 1
        self._engine = self._own = None
        if self.record is not None and not blank:
            shutil.copytree(self.package, self._recorded)
        if blank:
            self.documents.clear()
        else:
            known = set(re.findall(r"field (\w+) type", self._schema.read_text()))
            for name, fields in self.documents.items():
                self.documents[name] = {n: v for n, v in fields.items() if n in known}
        return 200, {"session-id": str(self.session), "log": [], "configChangeActions": {}}

    def _content(self, name: str, path: str) -> tuple[int, bytes]:
        found = self.package / name
        if name.endswith("/") and found.is_dir():
            listed = [f"http://localhost{path}{child.name}" for child in sorted(found.iterdir())]
            return 200, json.dumps(listed).encode()
        return (200, found.read_bytes()) if found.is_file() else (404, b"{}")

    @property
    def _recorded(self) -> Path:
        assert self.record is not None
        return self.record / f"{self.session:04}"

    @property
    def _schema(self) -> Path:
        return self.package / "schemas" / "image.sd"

    def _document(self, method: str, path: str, parameters: dict, body: bytes) -> tuple[int, dict]:
        identifier = unquote(path.removeprefix(DOCUMENTS).removeprefix("/"))
        if not identifier:
            return self._visit(path, parameters)
        answer = {"pathId": path, "id": f"id:image:image::{identifier}"}
        there = identifier in self.documents
        if method == "GET":
            fields = {} if "fieldSet" in parameters else self.documents.get(identifier, {})
            return (200, {**answer, "fields": fields}) if there else (404, answer)
        self._engine = None
        if method == "DELETE":
            self.documents.pop(identifier, None)
        elif method == "POST":
            given = json.loads(body)["fields"]
            if any("\0" in str(value) for value in given.values()):
                return 400, {**answer, "message": "illegal code point 0x0"}
            self.documents[identifier] = {n: _stored(v) for n, v in given.items()}
        elif there:
            given = json.loads(body)["fields"]
            self.documents[identifier] |= {n: _stored(v["assign"]) for n, v in given.items()}
        elif "condition" in parameters:
            return 412, {**answer, "message": "TEST_AND_SET_CONDITION_FAILED"}
        return 200, answer

    def _visit(self, path: str, parameters: dict) -> tuple[int, dict]:
        ids = sorted(self.documents, key=lambda name: name[::-1])
        wanted = _SELECTION.fullmatch(parameters.get("selection", ""))
        if wanted:
            ids = [i for i in ids if self.documents[i].get(wanted[1]) == wanted[2]]
        start = int(parameters.get("continuation", 0))
        page = [{"id": f"id:image:image::{i}", "fields": {}} for i in ids[start : start + PAGE]]
        more = {"continuation": str(start + PAGE)} if start + PAGE < len(ids) else {}
        return 200, {"pathId": path, "documents": page, **more}

    @property
    def _attributes(self) -> tuple[Attribute, ...]:
        if self._own is None:
            self._own = tuple(read_application(self.package).attributes)
        return self._own

    @property
    def engine(self) -> EmbeddedEngine:
        """An engine with what is deployed and fed."""
        if self._engine is None:
            schema = read_schema(self._schema)
            documents = [
                replace(document_of(fields, self._attributes), id=identifier)
                for identifier, fields in self.documents.items()
            ]
            self._engine = EmbeddedEngine.in_memory(
                documents, schema.vector_fields, schema.profiles, attributes=self._attributes
            )
            self._engine.encoder_folder = self._reranker()
        return self._engine

    def _reranker(self) -> Path | None:
        """A folder of the deployed re-ranker, with what the schema says of it."""
        for graph in self.package.glob("files/reranker_*.onnx"):
            sizes = re.findall(r"d1\[(\d+)\],d2\[(\d+)\]", self._schema.read_text("utf-8"))
            (tokens, size), (patches, _) = sizes
            (graph.parent / RERANKER_GRAPH).write_bytes(graph.read_bytes())
            made = RerankerManifest("", int(size), int(tokens), int(patches), 0, 0, 0)
            made.save(graph.parent)
            return graph.parent
        return None

    def _search(self, body: dict) -> tuple[int, dict]:
        if float(body["timeout"].removesuffix("ms").removesuffix("s")) <= 1:
            return 504, _errors(12, "Timed out")
        yql = body["yql"]
        coverage = {"coverage": 100, "documents": len(self.documents), "full": True, "nodes": 1}
        if " where true" in yql:
            root = {"fields": {"totalCount": len(self.documents)}, "coverage": coverage}
            return 200, {"root": root | self._groups(yql)}
        if body.get("ranking.profile") == "unranked" and not _HOLDS.search(yql):
            ids = {v for n, v in body.items() if n.startswith("v")} & self.documents.keys()
            found = [{"id": f"x/{i}", "relevance": 0, "fields": {"id": i}} for i in sorted(ids)]
            root = {"fields": {"totalCount": len(ids)}, "coverage": coverage, "children": found}
            return 200, {"root": root}
        if counted := _HOLDS.search(yql):
            held = sum(
                body["term"] in tokenize(texts_of(self.engine.get(i))[counted[1]] or "")
                for i in self.documents
            )
            return 200, {"root": {"fields": {"totalCount": held}, "coverage": coverage}}
        try:
            result = self._ask(body, yql)
        except QueryError as error:
            return 400, _errors(4, str(error))
        chosen = re.findall(r"\w+", yql.partition(" from ")[0].removeprefix("select "))
        hits = []
        for hit in result:
            fields = {n: v for n, v in self.documents[hit.id].items() if n in chosen}
            labels = {
                name: {"type": "tensor<float>(frame{})", "cells": {label: 1.0} if label else {}}
                for name, label in hit.closest.items()
            }
            features = {"matchfeatures": {**hit.features, **labels}}
            hits.append({"id": f"x/{hit.id}", "relevance": hit.score, "fields": fields | features})
        # Vespa's order of equal scores is its own.
        hits.sort(key=lambda hit: (-hit["relevance"], hit["id"][::-1]))
        counted = [self._counted(name, counts) for name, counts in result.facets.items()]
        groups = [{"id": "group:root:0", "children": counted}] if counted else []
        root = {"fields": {"totalCount": result.total}, "coverage": coverage}
        root["children"] = groups + hits
        return 200, {"root": root, "timing": {"querytime": 0.001}}

    def _idf(self, term: str) -> float:
        held = sum(
            term in tokenize(d["caption"]) for d in self.documents.values() if "caption" in d
        )
        return idf(len(self.documents), held)

    def _counted(self, name: str, counts: dict[str, int]) -> dict:
        own = next((each for each in self._attributes if each.name == name), None)
        groups = []
        for value, count in counts.items():
            raw = value
            if is_number(own):
                raw = str(int(number_of(own, value_of(own, value))))
            groups.append({"id": f"group:x:{raw}", "value": raw, "fields": {"count()": count}})
        if is_number(own):  # as Vespa shows documents without a value
            missing = {"id": "group:x:-", "value": str(-(2**63)), "fields": {"count()": 1}}
            groups.append(missing)
        return {"id": f"grouplist:{name}", "label": name, "children": groups}

    def _groups(self, yql: str) -> dict:
        asked = _GROUP.search(yql)
        if not asked:
            return {}
        values = [fields.get(asked[1], "") for fields in self.documents.values()]
        groups = [
            {"id": f"group:string:{v}", "value": v, "fields": {"count()": values.count(v)}}
            for v in sorted(set(values))
        ]
        listed = {"id": f"grouplist:{asked[1]}", "children": groups}
        return {"children": [{"id": "group:root:0", "children": [listed]}]}

    def _ask(self, body: dict, yql: str):
        engine = self.engine
        where = yql.partition(" where ")[2]
        asked = _VECTOR.findall(where)
        filters, barred = _filters(where, body, self._attributes)
        profile = body["ranking.profile"]
        scored = re.search(r"rank\((.*)\)", where)
        finds = scored[1].partition(", (")[0] if scored else where
        text = re.search(r'defaultIndex: "(\w+)"', finds)
        found = engine.profiles.resolve(profile)
        changed = replace(found, text=text[1] if text else "")
        if scored:
            words = (("text", "userInput"), ("vector", "nearest"))
            changed = replace(changed, retrieve=tuple(n for n, word in words if word in finds))
        if changed != found:
            engine.profiles = engine.profiles.replaced([changed])
        return engine.search(
            Query(
                text=body["text"] if "userInput" in where else "",
                vectors={field: self._vector(body, name) for _, _, field, name in asked}
                | dict(_tokens(body)),
                profile=profile,
                inputs={
                    name.removeprefix("input.query(")[:-1]: value
                    for name, value in body.items()
                    if name.startswith("input.query(") and isinstance(value, float)
                },
                k=body["hits"],
                target_hits=int(asked[0][0]) if asked else 100,
                min_closeness=1 / (1 + float(asked[0][1])) if asked and asked[0][1] else None,
                filters=filters,
                exclude_ids=barred,
                with_documents=False,
                expansions={
                    body[name]: float(significance) / self._idf(body[name])
                    for significance, name in _WIDER.findall(where)
                },
                facets=tuple(re.findall(r"all\(group\((\w+)\) max", yql)),
            )
        )

    def _vector(self, body: dict, name: str) -> np.ndarray:
        given = body[f"input.query({name})"]
        embed = re.fullmatch(r"embed\(clip_(\w+), @(\w+)\)", given)
        if not embed:
            return np.frombuffer(bytes.fromhex(given), ">f4").astype(np.float32)
        folder = self.package / "models" / embed[1]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = np.array([tokenizer.encode(body[embed[2]]).ids])
        run = onnxruntime.InferenceSession(folder / "text.onnx").run
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return np.ravel(run(["text_embedding"], inputs)[0])


def _tokens(body: dict) -> Iterator[tuple[str, np.ndarray]]:
    """The query's token vectors, by the field of patches of the same encoder."""
    for key, value in body.items():
        if found := re.fullmatch(r"input\.query\(q_tokens_(\w+)\)", key):
            yield f"patches_{found[1]}", np.float32([*value["blocks"].values()])


def _filters(
    where: str, body: dict, attributes: Sequence[Attribute]
) -> tuple[tuple[Filter, ...], frozenset[str]]:
    own = {each.name: each for each in attributes}
    filters: list[Filter] = []
    barred: frozenset[str] = frozenset()
    for no, inside in _CONDITION.findall(where):
        tests = [_test(match, body, own) for match in _TEST.finditer(inside)]
        values = tuple(value for _, value in tests)
        column = tests[0][0] if tests else "id"
        if no and column == "id":
            barred |= set(values)
        else:
            filters.append(Filter(column, values, exclude=bool(no)))
    return tuple(filters), barred


def _test(match: re.Match, body: dict, own: Mapping[str, Attribute]) -> tuple[str, str]:
    if match["word"]:
        return match["word"], body[match["value"]]
    if match["flag"]:
        return match["flag"], match["held"]
    if match["text"]:
        words = re.findall(r"@(\w+)", match["phrase"] or match["one"])
        return match["text"], " ".join(body[word] for word in words)
    ends = [
        "" if "Infinity" in end else told(shown_number(own[match["number"]], float(end)))
        for end in (match["low"], match["high"])
    ]
    return match["number"], "..".join(ends)


def _stored(value: object) -> object:
    """A field as it is given back: tensors with their numbers."""
    if isinstance(value, dict) and isinstance(value.get("values"), str):
        numbers = _numbers(value["values"])
        return {"type": f"tensor<float>(x[{len(numbers)}])", "values": numbers}
    if isinstance(value, dict) and "blocks" in value:
        blocks = {label: _numbers(each) for label, each in value["blocks"].items()}
        size = max(map(len, blocks.values()), default=0)
        return {"type": f"tensor<float>(frame{{}},x[{size}])", "blocks": blocks}
    return value


def _numbers(digits: str) -> list[float]:
    return np.frombuffer(bytes.fromhex(digits), ">f4").tolist()


def _errors(code: int, message: str) -> dict:
    return {"root": {"errors": [{"code": code, "summary": "x", "message": message}]}}


@contextmanager
def stand_in(record: Path | None = None) -> Iterator[str]:
    """Serve one until the end of `with`; its one address is that of both servers."""
    with tempfile.TemporaryDirectory() as folder:
        state = StandIn(Path(folder), record)
        with AnsweringServer(state.answer) as server:
            yield server.url


def run_suite(url: str, *arguments: str) -> int:
    """Run the live suite, or the tests that are named, against a stand-in; pytest's exit code."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-k", "live", *arguments],
        env={**os.environ, URL: url, CONFIG_URL: url},
        check=False,
    ).returncode


def main() -> int:
    """Run the live suite against a stand-in, then give what was asked to Vespa's own code."""
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder)) as url:
        failed = run_suite(url, *SUITE, *sys.argv[1:])
        if not KIT.exists():
            sys.stdout.write(f"{KIT} is not here: Vespa's own code was not asked.\n")
            return failed
        with closing(Kit(KIT)) as kit:
            checked = check_recorded(Path(folder), kit)
    sys.stdout.writelines(f"{line}\n" for line in checked.refused)
    sys.stdout.write(
        f"Vespa's own code: {checked.packages} packages, {len(checked.requests):,} different "
        f"requests, {len(checked.refused)} refused.\n"
    )
    return failed or bool(checked.refused)


if __name__ == "__main__":
    sys.exit(main())
