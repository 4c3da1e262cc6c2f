"""A real server's recorded answers, asked again through the client."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from ranking.types import EngineError, Query, QueryError, VectorField
from tests.live.answering import AnsweringServer
from tests.live.recorded import load_recordings, recorded_engine
from vespa_app.engine import VespaEngine
from vespa_app.feed.documents import DocumentClient
from vespa_app.http.connection import Credentials
from vespa_app.read.application import Application, ServedEncoder, ServedProfile

MADE_UP = Path(__file__).parents[2] / "golden" / "made-up" / "queries.jsonl.gz"


def unit(name) -> np.ndarray:
    """A vector that stands for the name: which one does not matter here."""
    seed = sum(str(name).encode())
    vector = np.random.default_rng(seed).standard_normal(64).astype(np.float32)
    return vector / np.linalg.norm(vector)


def asked_again(recordings, vector_of=unit):
    with recorded_engine(recordings, vector_of) as (engine, queries):
        by_id = {recording.id: recording for recording in recordings}
        results = engine.search_many(list(queries.values()))
        for name, result in zip(queries, results, strict=True):
            yield by_id[name], result
        assert engine.count() > 0


def test_made_up_records_come_back_whole():
    recordings = load_recordings(MADE_UP)
    pairs = list(asked_again(recordings))
    assert len(pairs) > 300
    for recording, result in pairs:
        hits = recording.response["root"]["children"]
        assert sorted(result.ids) == sorted(hit["fields"]["id"] for hit in hits)
        assert list(result.scores) == [hit["relevance"] for hit in hits]
        assert result.coverage.full
        if hits:
            first = hits[0]["fields"]
            row = result.ids.index(first["id"])
            assert {n: v[row] for n, v in result.features.items()} == first["matchfeatures"]


@pytest.mark.parametrize("name", ["lexical", "vector", "hybrid"])
def test_recorded_answers_of_roco_come_back_whole(vespa_golden, name):
    arrays = np.load(vespa_golden / "query_vectors.npz")
    recordings = [r for r in load_recordings(vespa_golden / f"{name}.jsonl.gz") if r.status == 200]
    pairs = list(asked_again(recordings, lambda spec: arrays[spec["vector"]]))
    assert len(pairs) > 60
    for recording, result in pairs:
        hits = recording.response["root"]["children"]
        assert set(result.ids) == {hit["fields"]["id"] for hit in hits}


def test_what_was_not_recorded_is_told():
    recordings = [r for r in load_recordings(MADE_UP) if r.kind == "lexical"]
    with recorded_engine(recordings) as (engine, queries):
        assert engine.info().documents == 1500
        assert len(queries) == len({query.text for query in queries.values()}) > 30
        with pytest.raises(QueryError, match="not recorded"):
            engine.search(Query("no such words", profile="lexical"))


def kinds(golden: Path, name: str) -> dict[str, dict]:
    """One record of each kind."""
    text = gzip.decompress((golden / f"{name}.jsonl.gz").read_bytes()).decode()
    return {record.get("kind"): record for record in map(json.loads, text.splitlines())}


def test_pages_of_a_real_visit_follow_each_other(vespa_golden):
    found = kinds(vespa_golden, "document_v1")
    first, second = (found[kind]["response"] for kind in ("visit", "visit-continue"))

    def answer(method, target, body):
        asked = parse_qs(urlsplit(target).query)
        assert asked["fieldSet"] == ["[id]"]
        if "continuation" not in asked:
            return 200, json.dumps(first).encode()
        assert asked["continuation"] == [first["continuation"]]
        return 200, json.dumps({**second, "continuation": None}).encode()

    with AnsweringServer(answer) as server, DocumentClient(server.url, Credentials()) as client:
        ids = list(client.ids())
    expected = [each["id"].split("::")[1] for page in (first, second) for each in page["documents"]]
    assert ids == expected
    assert len(ids) > 10


def test_fingerprints_are_counted_as_a_real_server_groups_them(vespa_golden):
    grouped = kinds(vespa_golden, "redeploy")["grouping-fingerprint-a"]["response"]

    def answer(method, target, body):
        return 200, json.dumps(grouped).encode()

    profile = ServedProfile("lexical", ("text",))
    for fingerprint, fits in (("v2", True), ("other", False)):
        field = VectorField("embedding_1a2b3c4d", 4, fingerprint)
        application = Application({"lexical": profile}, (ServedEncoder("1a2b3c4d", field),))
        with AnsweringServer(answer) as server:
            engine = VespaEngine.connect(server.url, application, credentials=Credentials())
            if fits:
                details = engine.info().details
                assert details["documents with embedding_1a2b3c4d"] == 4089
            else:
                with pytest.raises(EngineError, match="vectors of v2"):
                    engine.info()
            engine.close()


@pytest.mark.parametrize("kind", ["get-tensors-hex", "get-low"])
def test_a_real_documents_vector_is_read(vespa_golden, kind):
    content = kinds(vespa_golden, "document_v1")[kind]["response"]

    def answer(method, target, body):
        return 200, json.dumps(content).encode()

    with AnsweringServer(answer) as server:
        application = Application({"lexical": ServedProfile("lexical", ("text",))})
        engine = VespaEngine.connect(server.url, application, credentials=Credentials())
        found = engine.get("T1")
        engine.close()
    if "embedding_low" in content["fields"]:
        assert np.linalg.norm(found.vectors["embedding_low"]) == pytest.approx(1.0, abs=1e-3)
    else:
        assert found.vectors == {}
