"""A real server's recorded answers, asked again through the client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ranking.types import Query, QueryError
from vespa_app.recorded import load_recordings, recorded_engine

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
