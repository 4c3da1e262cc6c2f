"""Looking at fewer documents never changes the hits; the codes behind it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.engine import candidates
from ranking.engine.compiled import batch
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.segment.codes import exact_sketch, short_sketch
from ranking.profiles.shipped import SHIPPED, Profile, ProfileSet
from ranking.types import Filter, Query, VectorField
from tests.ranking.drawn import drawn_documents

FIELD = VectorField("embedding", 16)
WORDS = [f"w{n}" for n in range(40)]


COSINE = "if (attribute(has_vector), 2 - 1 / closeness(field, embedding), -1)"
RESCALED = {
    "cosine": f"bm25(caption) + 12 * {COSINE}",
    "angle": f"atan(bm25(caption) / 4) - acos({COSINE})",
    "steps": f"if (bm25(caption) > 2, 3 + bm25(caption), tanh({COSINE}))",
    "unbounded": "bm25(caption) - 3 * distance(field, embedding)",
    "falling": f"bm25(caption) * cos(3 * {COSINE})",
}
PROFILES = ProfileSet(
    (
        *SHIPPED.profiles,
        *(
            Profile(name, retrieve=("text", "vector"), first_phase=text)
            for name, text in RESCALED.items()
        ),
    ),
    default="hybrid",
)
# So many that frequent words get rows of their own.
ENGINE = EmbeddedEngine.in_memory(drawn_documents(4500, 3, WORDS, 16), [FIELD], PROFILES)


def in_parts() -> EmbeddedEngine:
    """An index of several segments, some of whose documents were removed."""
    documents = drawn_documents(1500, 4, WORDS, 16)
    engine = EmbeddedEngine.in_memory(documents[:900], [FIELD], PROFILES)
    for start in range(900, 1500, 200):
        engine.feed(documents[start : start + 200])
    engine.remove([document.id for document in documents[::7]])
    return engine


PARTS = in_parts()
CHOICES = st.fixed_dictionaries(
    {
        "filters": st.sampled_from(
            [
                (),
                (Filter("modality", ("ct",)),),
                (Filter("modality", ("mr", "us"), exclude=True),),
            ]
        ),
        "exclude_ids": st.sampled_from([frozenset(), frozenset({"d0001", "d0400", "d1200"})]),
        "hidden_captions": st.sampled_from([frozenset(), frozenset({"d0003", "d0500", "nobody"})]),
    }
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from([ENGINE, PARTS]),
    st.sampled_from(PROFILES.names()),
    st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=6),
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 150),
    st.sampled_from(["", "+w2 ", "-w1 "]),
    CHOICES,
)
def test_the_hits_are_those_of_looking_at_everything(
    engine, profile, words, seed, k, target_hits, operator, choices
):
    vector = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    text = operator + " ".join(words)
    query = Query(
        text, vector, profile, k=k, target_hits=target_hits, operators=bool(operator), **choices
    )
    pruned = engine.search(query)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "fitting", lambda *_: None)
        general = engine.search(query)
        patch.setattr(candidates, "_prunable", lambda *_: False)
        full = engine.search(query)
    for found in (pruned, general):
        assert found.ids == full.ids
        np.testing.assert_allclose(found.scores, full.scores, rtol=1e-13)
        assert found.total == full.total
        assert found.features.keys() == full.features.keys()


@pytest.mark.parametrize("seed", range(60))
def test_more_hits_than_nearest_are_found(seed, monkeypatch):
    """So that the first documents with a word are looked at before any score is known."""
    random = np.random.default_rng(seed)
    words = " ".join(random.choice(WORDS, random.integers(1, 6)))
    vector = np.float32(random.standard_normal(16))
    k, nearest = (int(random.integers(*between)) for between in ((20, 600), (1, 60)))
    query = Query(words, vector, "hybrid", k=k, target_hits=nearest)
    pruned = ENGINE.search(query)
    monkeypatch.setattr(batch, "fitting", lambda *_: None)
    assert pruned.ids == ENGINE.search(query).ids


@pytest.mark.parametrize(("latent", "shortest"), [(8, True), (128, False)])
def test_codes_are_as_long_as_the_vectors_need(latent, shortest):
    """Vectors that lie near a few directions get short codes, those that do not long ones."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((6000, latent)) @ random.standard_normal((latent, 128))
    vectors += 0.05 * random.standard_normal(vectors.shape)
    vectors = np.float32(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    sketch = short_sketch(vectors, np.ones(6000, bool))
    assert (sketch.codes.shape[1] == 32) == shortest
    recall = [
        np.isin(np.argsort(-(vectors @ query))[:10], sketch.candidates(query, 10, None)).mean()
        for query in vectors[::100]
    ]
    assert np.mean(recall) >= 0.99


def test_codes_honour_a_filter():
    vectors = np.random.default_rng(2).standard_normal((500, 40)).astype(np.float32)
    allowed = np.arange(500) % 7 == 0
    found = short_sketch(vectors, np.ones(500, bool)).candidates(vectors[3], 10, allowed)
    assert allowed[found].all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([0.01, 1.0, 300.0]))
def test_codes_of_all_components_never_lose_a_neighbour(seed, count, length):
    random = np.random.default_rng(seed)
    vectors = np.float32(length * random.standard_normal((200, 12)))
    query = np.float32(random.standard_normal(12))
    nearest = np.argsort(-(vectors @ query))[:count]
    found = exact_sketch(vectors).candidates(query, count, None)
    assert set(nearest) <= set(found)
