"""The engine over Vespa's own HTTP front."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest

from ranking.types import Document, Filter, Query, QueryError
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.http import errors
from vespa_app.http.retries import Retries

UNIT = np.eye(24, dtype=np.float32)[0]


def test_ties_come_by_ascending_id_and_hits_are_whole(engine):
    result = engine.search(Query("chest", profile="lexical", k=3))
    assert result.ids == ("d5", "d1", "d2")
    assert list(result.scores) == [0.9, 0.8, 0.8]
    assert result.documents[0] == Document("d5", "caption d5", {}, group_id="g2")
    assert result.features["bm25(caption)"][0] == 9.0
    assert result.total == 6
    assert result.coverage.full
    assert not result.warnings
    assert {"match", "total", "client"} <= set(result.timing)


def test_best_of_each_group(engine):
    result = engine.search(Query("chest", profile="lexical", k=3, group_by="group_id"))
    assert result.ids == ("d5", "d1", "d9")
    all_groups = engine.search(Query("chest", profile="lexical", k=9, group_by="group_id"))
    assert all_groups.ids == ("d5", "d1", "d9", "d3")


def test_every_profile_is_accepted_by_vespas_own_code(engine):
    for profile in engine.info().profiles:
        encoder = engine.application.resolve(profile).encoder
        vector = np.eye(encoder.field.dimension, dtype=np.float32)[0] if encoder else None
        result = engine.search(Query("chest ct", vector, profile=profile, inputs={}, k=6))
        assert len(result) == 6, profile
        assert np.all(np.diff(result.scores) <= 0), profile


def test_vespa_embeds_a_text_by_itself(engine):
    result = engine.search(Query("chest ct", profile="hybrid_linear", k=6))
    assert len(result) == 6


def test_global_phase_ran(engine):
    result = engine.search(Query("chest", UNIT, profile="hybrid_rrf", k=6))
    assert result.scores[0] == pytest.approx(2 / 61)


def test_inputs_reach_the_profile(engine):
    query = Query("chest", UNIT, profile="hybrid_linear", inputs={"alpha": 1.0}, k=6)
    assert engine.search(query).scores[0] == pytest.approx(1.0)


def test_filters_pass(engine):
    filters = (
        Filter("modality", ("ct", 'a, "b" or true)')),
        Filter("concepts", ("C1",), exclude=True),
        Filter("split", ()),
    )
    query = Query("x", profile="lexical", filters=filters, exclude_ids=frozenset({"1", "'"}))
    assert engine.search(query).total == 6


def test_vespas_own_refusal_is_a_query_error(engine, monkeypatch):
    broken = engine.application.profiles | {
        "nope": engine.application.resolve("lexical").__class__("nope", ("text",))
    }
    monkeypatch.setattr(engine.application.__class__, "resolve", lambda _, name: broken[name])
    with pytest.raises(errors.VespaQueryError, match="requested rank profile 'nope'"):
        engine.search(Query("x", profile="nope"))


def test_time_out(engine):
    with pytest.raises(errors.VespaTimeoutError):
        engine.search(Query("x", profile="lexical", timeout=0.001))


def test_too_many_hits(engine):
    with pytest.raises(QueryError, match="at most"):
        engine.search(Query("x", profile="lexical", k=engine.application.max_hits + 1))


def test_many_in_order(engine):
    queries = [Query("x", profile="lexical", k=k % 7) for k in range(60)]
    assert [len(result) for result in engine.search_many(queries)] == [
        min(query.k, 6) for query in queries
    ]


def test_documents(engine):
    field = engine.application.encoders[0].field.name
    whole = Document(
        "a/b c",
        "Chest",
        {field: UNIT},
        concepts=("C1", "C2"),
        concept_names=("one", "two"),
        group_id="g",
        modality="ct",
        source="s",
        licence="l",
        split="test",
        image_url="u",
    )
    bad = [
        Document("long", vectors={field: UNIT * 3}),
        Document("short", vectors={field: UNIT[:5]}),
        Document("nan", vectors={field: UNIT * np.float32("nan")}),
        Document("other", vectors={"embedding_00000000": UNIT}),
        Document("nul", "a\x00b"),
        Document("bad\x00id"),
        Document(".."),
    ]
    report = engine.feed([whole, Document("d2"), *bad])
    assert report.ok == 2
    assert {identifier for identifier, _ in report.failed} == {document.id for document in bad}
    assert all(reason for _, reason in report.failed)
    found = engine.get("a/b c")
    np.testing.assert_array_equal(found.vectors[field], UNIT)
    assert found.concepts == ("C1", "C2")
    assert engine.get("nothing") is None
    assert engine.get("bad\x00id") is None
    assert engine.remove(["bad\x00id", "\ufffe"]) == 0
    assert set(engine.ids()) == {"a/b c", "d2"}
    report = engine.update([Document("d2", vectors={field: UNIT}), Document("no", vectors={})])
    assert (report.ok, report.failed) == (1, (("no", "there is no such document"),))
    np.testing.assert_array_equal(engine.get("d2").vectors[field], UNIT)
    assert engine.remove(["a/b c", "d2", "nothing"]) == 2
    assert list(engine.ids()) == []


def test_info(engine):
    info = engine.info()
    assert info.documents == engine.count() == 6
    assert info.default_profile == "hybrid"
    assert [field.dimension for field in info.vector_fields] == [24, 16]
    assert all(len(field.fingerprint) == 64 for field in info.vector_fields)


class _Scripted(BaseHTTPRequestHandler):
    """Answers in turn what the test has put into `script`."""

    script: ClassVar[list] = []
    seen = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen += 1
        status, text = self.script.pop(0) if self.script else (500, "")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def scripted(application):
    """An engine whose server says what it is told to."""
    _Scripted.script, _Scripted.seen = [], 0
    server = ThreadingHTTPServer(("localhost", 0), _Scripted)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://localhost:{server.server_port}"
    settings = EngineSettings(retries=Retries(attempts=3, first=0.001))
    engine = VespaEngine.connect(url, application, settings)
    yield engine
    engine.close()
    server.shutdown()
    server.server_close()
    thread.join()


FOUND = (
    '{"root": {"fields": {"totalCount": 1}, "coverage": {"coverage": 50, "documents": 5, '
    '"full": false, "nodes": 1, "degraded": {"timeout": true}}, '
    '"children": [{"id": "i", "relevance": 1, "fields": {"id": "a"}}]}}'
)
DOWN = '{"root": {"errors": [{"code": 10, "summary": "Backend communication error"}]}}'
WRONG = '{"root": {"errors": [{"code": 4, "summary": "Invalid query parameter"}]}}'


def test_what_may_pass_is_tried_again(scripted):
    _Scripted.script = [(503, DOWN), (429, ""), (200, FOUND)]
    result = scripted.search(Query("x", profile="lexical"))
    assert result.ids == ("a",)
    assert result.coverage.degraded == ("timeout",)
    assert "50 %" in result.warnings[0]


def test_attempts_are_limited(scripted):
    _Scripted.script = [(503, DOWN)] * 9
    with pytest.raises(errors.VespaUnavailableError):
        scripted.search(Query("x", profile="lexical"))
    assert _Scripted.seen == 3


@pytest.mark.parametrize(("status", "text"), [(400, WRONG), (504, ""), (500, ""), (200, "{...")])
def test_what_cannot_pass_is_not_tried_again(scripted, status, text):
    _Scripted.script = [(status, text)] * 2
    with pytest.raises((errors.VespaError, errors.VespaQueryError)):
        scripted.search(Query("x", profile="lexical"))
    assert _Scripted.seen == 1


def test_strict_engines_refuse_a_part_of_the_corpus(scripted):
    strict = VespaEngine(scripted._connection, scripted.application, EngineSettings(strict=True))
    _Scripted.script = [(200, FOUND)]
    with pytest.raises(errors.VespaDegradedError, match="timeout"):
        strict.search(Query("x", profile="lexical"))


def test_nothing_listens(application):
    engine = VespaEngine.connect(
        "http://localhost:9", application, EngineSettings(retries=Retries(2, 0.001))
    )
    with pytest.raises(errors.VespaUnreachableError, match="Connection refused"):
        engine.search(Query("x", profile="lexical"))
