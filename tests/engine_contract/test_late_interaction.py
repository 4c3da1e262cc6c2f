"""MaxSim and a re-ranker of the query's tokens and a document's patches, over the best hits."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from encoders.inference.reranker import Reranker
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import SHIPPED, Phase, Profile
from ranking.searcher import Searcher
from ranking.types import Document, EngineError, Query, QueryError, VectorField
from tests.encoder_folders import reranker_folder
from tests.engine_contract.test_contract import FIELD, FINGERPRINT, NAMES
from tests.live.contract import RERANKERS

PATCHES = VectorField(NAMES.field("patches"), 4, FINGERPRINT, labels="patch")
LATE = "max_sim(q_tokens, patches)"
PROFILES = SHIPPED.replaced(
    (
        Profile(
            "late",
            retrieve=("text", "vector"),
            first_phase="bm25(caption) + closeness(field, embedding)",
            second_phase=Phase("late + 0.1 * bm25(caption)", 4),
            functions={"late": LATE},
            match_features=("late", "bm25(caption)"),
        ),
        Profile(
            "late_at_last",
            inherits="late",
            second_phase=Phase("late", 6),
            global_phase=Phase("normalize_linear(late) + normalize_linear(bm25(caption))", 3),
        ),
        Profile(
            "reranked",
            inherits="late",
            functions={"matches": "rerank(q_tokens, patches)"},
            second_phase=Phase("late", 9),
            global_phase=Phase("matches + 0.5 * late", 5),
            match_features=("late", "matches"),
        ),
        Profile(
            "late_first", "late", ("text",), functions={"late": LATE}, match_features=("late",)
        ),
    )
).instantiate(NAMES)
RANDOM = np.random.default_rng(4)


def unit(*shape: int) -> np.ndarray:
    drawn = RANDOM.standard_normal(shape)
    return np.float32(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))


def document(number: int) -> Document:
    patches = {str(n): vector for n, vector in enumerate(unit(number % 4, 4))}
    return Document(
        f"d{number}",
        "a chest with effusion" if number % 3 else "a head",
        {FIELD.name: unit(4)},
        labelled={PATCHES.name: patches} if patches else {},
    )


DOCUMENTS = [document(number) for number in range(9)]
TOKENS, VECTOR = unit(3, 4), unit(4)


def brute(document: Document) -> float:
    patches = [*document.labelled.get(PATCHES.name, {}).values()]
    return float((TOKENS @ np.array(patches).T).max(axis=1).sum()) if patches else 0.0


EXPECTED = {each.id: brute(each) for each in DOCUMENTS}


@pytest.fixture(scope="module")
def encoder_folder():
    return reranker_folder(FINGERPRINT, 4)


@pytest.fixture
def engine(make_engine, encoder_folder, monkeypatch):
    monkeypatch.setitem(RERANKERS, FINGERPRINT, encoder_folder)
    made = make_engine(DOCUMENTS, [FIELD, PATCHES], PROFILES)
    if isinstance(made, EmbeddedEngine):
        made.encoder_folder = encoder_folder
    return made


def ask(engine, profile, tokens=TOKENS, **more):
    vectors = {FIELD.name: VECTOR} | ({} if tokens is None else {PATCHES.name: tokens})
    return engine.search(Query("chest", vectors=vectors, profile=profile, k=9, **more))


def test_the_second_phase_reranks_by_max_sim(engine):
    result = ask(engine, "late")
    assert len(result) == 9
    for identifier, value in zip(result.ids, result.features["late"], strict=True):
        assert value == pytest.approx(EXPECTED[identifier], abs=1e-6)
    scores = result.features["late"] + 0.1 * result.features["bm25(caption)"]
    # The first hit after the window is moved to the lowest score in it.
    np.testing.assert_allclose(result.scores[:3], scores[:3], atol=1e-6)
    assert list(result.scores) == sorted(result.scores, reverse=True)


def test_a_global_phase_may_stand_on_top(engine):
    result = ask(engine, "late_at_last")
    assert list(result.scores) == sorted(result.scores, reverse=True)
    assert max(result.scores[:3]) <= 2


def test_a_first_phase_may_be_max_sim_too(engine):
    result = ask(engine, "late_first")
    found = {i for i in EXPECTED if int(i[1:]) % 3}
    assert result.ids == tuple(sorted(found, key=lambda i: (-EXPECTED[i], i)))
    np.testing.assert_allclose(result.scores, [EXPECTED[i] for i in result.ids], atol=1e-6)


@pytest.mark.parametrize("tokens", [TOKENS, np.repeat(TOKENS, 3, axis=0)])
def test_the_global_phase_asks_the_reranker(engine, encoder_folder, tokens):
    result = ask(engine, "reranked", tokens)
    model = Reranker.load(encoder_folder, FINGERPRINT)
    stored = np.zeros((len(DOCUMENTS), model.manifest.patches, 4), np.float32)
    for row, each in enumerate(DOCUMENTS):
        for label, vector in each.labelled.get(PATCHES.name, {}).items():
            stored[row, int(label)] = vector
    expected = dict(zip(EXPECTED, model.score(tokens, stored), strict=True))
    found = [expected[identifier] for identifier in result.ids]
    np.testing.assert_allclose(result.features["matches"], found, atol=1e-4)
    scores = result.features["matches"] + 0.5 * result.features["late"]
    np.testing.assert_allclose(result.scores[:5], scores[:5], atol=1e-4)
    assert list(result.scores) == sorted(result.scores, reverse=True)
    assert np.any(result.features["matches"])


def test_without_a_reranker_the_profile_is_refused():
    engine = EmbeddedEngine.in_memory(DOCUMENTS, [FIELD, PATCHES], PROFILES)
    with pytest.raises(EngineError, match="train-reranker"):
        ask(engine, "reranked")


@pytest.mark.parametrize("profile", ["late", "late_at_last", "late_first", "reranked"])
@pytest.mark.parametrize("tokens", [None, TOKENS[:0]])
def test_without_tokens_it_is_refused(engine, profile, tokens):
    """In the same words, also where no document would be found."""
    wanted = f"Profile {profile} compares the query's tokens with patches, and the query has none"
    for asked in (partial(ask, engine), partial(ask, engine, exclude_ids=frozenset(EXPECTED))):
        with pytest.raises(QueryError, match=wanted):
            asked(profile, tokens=tokens)


@pytest.mark.parametrize("tokens", [TOKENS[0], TOKENS[:, :3], TOKENS * np.float32(np.nan)])
def test_tokens_at_fault_are_refused_in_a_sentence(engine, tokens):
    with pytest.raises(QueryError, match="token vectors"):
        ask(engine, "late", tokens)


def test_a_search_without_an_encoder_says_that_it_has_no_tokens(engine):
    with pytest.raises(QueryError, match="search by a text and with the encoder"):
        Searcher(engine).search("nodule", profile="late_first")
