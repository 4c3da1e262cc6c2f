"""Deployed, fed and asked: the server against the engine of this process."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

from benchmarks.fuzz_queries import hostile
from ranking import types
from ranking.types import Document, Filter, QueryError
from tests.live.conftest import RECORDS, feed_all
from vespa_app.deploy.config_server import ConfigServer, DeployError
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.http import errors
from vespa_app.read.application import read_application

Query = partial(types.Query, timeout=60.0)  # a server for tests may be slow

PROFILES = (
    "lexical",
    "vector",
    "hybrid",
    "hybrid_sum",
    "hybrid_atan",
    "hybrid_linear",
    "hybrid_rrf",
    "learned",
    "image",
)
DEPTH = 20


@pytest.fixture(scope="module")
def asked(line, embedded):
    """Texts as people type them: parts of captions; and their vectors."""
    captions = [embedded.get(each).caption or "" for each in sorted(embedded.ids())[::16]]
    texts = [" ".join(caption.split()[2:9]) or "chest" for caption in captions]
    return list(zip(texts, line.encoder.encode_texts(texts), strict=True))


def test_the_deployed_application_is_the_package(line):
    deployed = ConfigServer(line.server.config_url).application()
    assert deployed == read_application(line.packages / "before")


def test_every_document_is_there_as_it_was_fed(line, embedded, vespa):
    assert vespa.count() == RECORDS
    assert sorted(vespa.ids()) == sorted(embedded.ids())
    for identifier in sorted(embedded.ids())[::40]:
        here, there = embedded.get(identifier), vespa.get(identifier)
        assert there.vectors.keys() == here.vectors.keys()
        for name, vector in here.vectors.items():
            np.testing.assert_array_equal(there.vectors[name], vector)
        assert (there.caption or "") == (here.caption or "")
        for field in ("id", "concepts", "concept_names", "group_id", "modality", "split"):
            assert getattr(there, field) == getattr(here, field), field


def test_feeding_again_sends_nothing(line):
    result = feed_all(line)
    assert (result.sent, result.unchanged) == (0, RECORDS)


def test_info_reads_the_fingerprint_off_the_documents(line, vespa):
    info = vespa.info()
    (field,) = info.vector_fields
    assert field.fingerprint == line.fingerprints[0]
    assert info.details[f"documents with {field.name}"] > 0


@pytest.mark.parametrize("profile", PROFILES)
def test_scores_are_those_of_the_embedded_engine(embedded, vespa, asked, profile):
    """Every candidate is retrieved (target hits above the corpus), so scores are comparable."""
    for text, vector in asked:
        sent = None if profile == "lexical" else vector
        query = Query(text, sent, profile=profile, k=DEPTH, target_hits=2 * RECORDS)
        here, there = embedded.search(query), vespa.search(query)
        np.testing.assert_allclose(there.scores, here.scores, rtol=2e-5, atol=2e-6, err_msg=text)
        near = np.isclose(here.scores[:-1], here.scores[1:], rtol=1e-4, atol=1e-5)
        if not near.any():
            assert there.ids[:-1] == here.ids[:-1], text
        shared = {hit.id: plain_names(hit.features) for hit in here}
        for hit in there:
            for name, value in plain_names(hit.features).items():
                if hit.id in shared:
                    expected = shared[hit.id][name]
                    assert value == pytest.approx(expected, rel=2e-5, abs=2e-6), (text, name)


def plain_names(features):
    """Features by the names they have without an encoder's digits."""
    return {re.sub(r"_[0-9a-f]{8}\b", "", name): value for name, value in features.items()}


def test_text_embedded_inside_vespa_gives_the_same_scores(vespa, asked):
    for text, vector in asked[:8]:
        by_client = vespa.search(Query(text, vector, profile="vector", k=DEPTH))
        by_vespa = vespa.search(Query(text, profile="vector", k=DEPTH))
        np.testing.assert_allclose(by_vespa.scores, by_client.scores, rtol=1e-4)


def test_filters_groups_and_exclusions_agree(embedded, vespa, asked):
    text, vector = asked[0]
    modality = next(each.modality for each in map(embedded.get, embedded.ids()) if each.modality)
    first = embedded.search(Query(text, vector, k=1)).ids[0]
    for changes in (
        {"filters": (Filter("modality", (modality,)),)},
        {"filters": (Filter("modality", (modality,), exclude=True),)},
        {"filters": (Filter("id", (first, "nothing such")),)},
        {"filters": (Filter("modality", (modality.upper(),)),)},
        {"filters": (Filter("modality", ()),)},
        {"exclude_ids": frozenset({first})},
        {"group_by": "group_id"},
    ):
        query = Query(text, vector, k=DEPTH, target_hits=2 * RECORDS, **changes)
        here, there = embedded.search(query), vespa.search(query)
        np.testing.assert_allclose(there.scores, here.scores, rtol=2e-5, err_msg=str(changes))


def test_no_text_is_refused_or_taken_for_operators(vespa):
    for text in hostile(100, seed=3):
        if text.strip():
            vespa.search(Query(text, profile="lexical"))


def test_many_queries_at_once(vespa, asked):
    queries = [Query(text, vector, k=5) for text, vector in asked] * 10
    for result, again in zip(vespa.search_many(queries), vespa.search_many(queries), strict=True):
        assert result.ids == again.ids


def test_what_is_wrong_is_told(line, vespa):
    long = " ".join(f"{number} chest" for number in range(1500))
    with pytest.raises((errors.VespaTimeoutError, errors.VespaDegradedError)):
        vespa.search(Query(long, profile="lexical", timeout=0.0005))
    with pytest.raises(QueryError, match="no rank profile"):
        vespa.search(Query("chest", profile="nothing"))
    with pytest.raises(QueryError, match="at most"):
        vespa.search(Query("chest", k=vespa.application.max_hits + 1))
    unknown = VespaEngine.connect("http://localhost:9", vespa.application)
    with pytest.raises(errors.VespaUnreachableError):
        unknown.count()
    with pytest.raises(DeployError, match=r"services\.xml"):
        line.server.deploy(line.corpus)


def test_a_broken_package_is_refused_and_nothing_changes(line, vespa, tmp_path):
    package = tmp_path / "app"
    (package / "schemas").mkdir(parents=True)
    for name in ("services.xml", "schemas/image.sd"):
        (package / name).write_text((line.packages / "before" / name).read_text())
    schema = package / "schemas" / "image.sd"
    schema.write_text(schema.read_text().replace("bm25(caption)", "bm25(captoin)"))
    with pytest.raises(DeployError, match=r"captoin|models"):
        line.server.deploy(package)
    assert vespa.count() == RECORDS


def test_update_and_remove(line, vespa):
    (field,) = vespa.info().vector_fields
    known = vespa.application
    engine = VespaEngine.connect(line.server.url, known, EngineSettings())
    vector = np.eye(field.dimension, dtype=np.float32)[0]
    added = Document("zz/ live é", "a quizzical zebra", {}, modality="ct")
    assert engine.feed([added]).ok == 1
    assert engine.search(Query("quizzical", profile="lexical")).ids == (added.id,)
    assert engine.remove([added.id, "nothing such"]) == 1
    assert engine.get(added.id) is None
    report = engine.update([Document("nothing such", vectors={field.name: vector})])
    assert report.ok == 0
    assert len(report.failed) == 1
    assert engine.count() == RECORDS
