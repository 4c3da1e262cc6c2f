"""Offset, sorting, cuts, facets and vectors by field: both routes, against doing it by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.engine.engine import EmbeddedEngine
from ranking.engine.kernels import loader
from ranking.profiles.shipped import SHIPPED, Profile
from ranking.types import Document, Query, QueryError, Sort, VectorField
from tests.ranking.drawn import drawn_documents

WORDS = [f"w{n}" for n in range(30)]
FIELDS = (VectorField("embedding", 16), VectorField("caption_embedding", 8))
BOTH = Profile(
    "both_fields",
    retrieve=("text", "vector"),
    first_phase="closeness(field, embedding) + 2 * closeness(field, caption_embedding)",
    match_features=("closeness(field,embedding)", "closeness(field,caption_embedding)"),
)
PROFILES = SHIPPED.replaced([BOTH])


def documents() -> list[Document]:
    random = np.random.default_rng(2)
    made = []
    for document in drawn_documents(900, 1, WORDS, 16):
        second = {} if random.random() < 0.2 else {"caption_embedding": random.standard_normal(8)}
        vectors = {**document.vectors, **{name: np.float32(v) for name, v in second.items()}}
        concepts = tuple(f"c{n}" for n in random.choice(9, random.integers(0, 4), replace=False))
        made.append(replace(document, vectors=vectors, concepts=concepts))
    return made


DOCUMENTS = {each.id: each for each in documents()}
ROUTES = ("exact", "native") if loader.available() else ("exact",)


@pytest.fixture(scope="module", params=ROUTES)
def engine(request) -> EmbeddedEngine:
    listed = list(DOCUMENTS.values())
    made = EmbeddedEngine.in_memory(listed[:600], FIELDS, PROFILES, route=request.param)
    made.feed(listed[600:])
    return made


def query(**parts) -> Query:
    vector = np.float32(np.random.default_rng(3).standard_normal(16))
    return Query(**({"text": "w1 w3 w7", "vector": vector, "k": 25} | parts))


def test_an_offset_leaves_out_the_first_hits(engine):
    whole = engine.search(query(k=60))
    page = engine.search(query(k=20, offset=15))
    assert page.ids == whole.ids[15:35]
    np.testing.assert_array_equal(page.scores, whole.scores[15:35])
    assert page.total == whole.total
    assert engine.search(query(offset=10**9)).ids == ()


def test_hits_are_cut_by_score(engine):
    whole = engine.search(query(k=1000))
    least = float(whole.scores[13])
    assert engine.search(query(k=1000, min_score=least)).ids == whole.ids[:14]
    assert engine.search(query(min_score=least, offset=10)).ids == whole.ids[10:14]


def test_vectors_find_nothing_beyond_a_closeness(engine):
    whole = engine.search(query(text="", profile="vector", k=100))
    least = float(whole.scores[30])
    found = engine.search(query(text="", profile="vector", k=100, min_closeness=least))
    assert found.ids == whole.ids[:31]
    assert found.total == 31
    hybrid = engine.search(query(k=1000, min_closeness=2.0))
    by_words = engine.search(query(k=1000, profile="lexical"))
    assert sorted(hybrid.ids) == sorted(by_words.ids)
    full = engine.search(query(k=1000))
    scores = dict(zip(full.ids, full.scores, strict=True))
    again = engine.search(query(k=30, min_closeness=least))
    kept = set(found.ids) | set(by_words.ids)
    right = [name for name in full.ids if name in kept][:30]
    missing = [name for name in again.ids if name not in scores]
    assert not missing
    assert list(again.ids) == right


@pytest.mark.parametrize("descending", [False, True])
def test_hits_are_sorted_by_a_field_and_then_by_score(engine, descending):
    whole = engine.search(query(k=1000))
    order = sorted(
        range(len(whole)),
        key=lambda n: DOCUMENTS[whole.ids[n]].modality,
        reverse=descending,
    )
    found = engine.search(query(k=40, offset=5, sort=Sort("modality", descending=descending)))
    assert found.ids == tuple(whole.ids[n] for n in order)[5:45]
    by_id = engine.search(query(k=5, sort=Sort("id")))
    assert by_id.ids == tuple(sorted(whole.ids))[:5]


def test_groups_are_counted_from_the_offset(engine):
    whole = engine.search(query(k=1000))
    firsts = list({DOCUMENTS[name].modality: name for name in reversed(whole.ids)}.values())
    ordered = tuple(name for name in whole.ids if name in firsts)
    assert engine.search(query(group_by="modality")).ids == ordered
    assert engine.search(query(group_by="modality", offset=1)).ids == ordered[1:]


def test_facets_count_all_that_matched(engine):
    whole = engine.search(query(k=1000))
    found = engine.search(query(k=3, facets=("modality", "concepts"))).facets
    matched = [DOCUMENTS[name] for name in whole.ids]
    assert len(matched) == whole.total
    for value, count in found["modality"].items():
        assert count == sum(document.modality == value for document in matched)
    for value, count in found["concepts"].items():
        assert count == sum(value in document.concepts for document in matched)
    assert sum(found["modality"].values()) == whole.total
    assert list(found["concepts"].values()) == sorted(found["concepts"].values(), reverse=True)


def test_a_profile_compares_vectors_of_two_fields(engine):
    random = np.random.default_rng(5)
    vectors = {field.name: np.float32(random.standard_normal(field.dimension)) for field in FIELDS}
    found = engine.search(Query("w2", vectors=vectors, profile="both_fields", k=40, target_hits=15))
    closeness, dots = {}, {}
    for name, asked in vectors.items():
        wide = asked.astype(float)
        for document in DOCUMENTS.values():
            stored = document.vectors.get(name)
            dots[name, document.id] = -np.inf if stored is None else stored @ wide
            cosine = 0 if stored is None else np.clip(stored @ wide / (wide @ wide), -1, 1)
            closeness[name, document.id] = 0.0 if stored is None else 1 / (2 - cosine)
    expected = {
        name: closeness["embedding", name] + 2 * closeness["caption_embedding", name]
        for name in DOCUMENTS
    }
    near = {
        name for field in vectors for name in sorted(DOCUMENTS, key=lambda n: -dots[field, n])[:15]
    }
    worded = {n for n, d in DOCUMENTS.items() if "w2" in (d.caption or "").split()}
    right = sorted(near | worded, key=lambda name: (-expected[name], name))
    assert found.total == len(right)
    assert list(found.ids) == right[:40]
    np.testing.assert_allclose(found.scores, [expected[name] for name in found.ids], rtol=1e-6)
    one = engine.search(replace(query(profile="both_fields"), vector=None, vectors={}))
    assert not one.features["closeness(field,embedding)"].any()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"offset": -1}, "offset is -1"),
        ({"min_score": float("nan")}, "min_score is nan"),
        ({"sort": Sort("colour")}, "no field 'colour'"),
        ({"sort": Sort("concepts")}, "sorted by concepts"),
        ({"facets": ("colour",)}, "no field 'colour'"),
        ({"expansions": {"a": 0.5}, "operators": True}, "Expansions widen plain words"),
        ({"vectors": {"colour": np.ones(3, np.float32)}}, "no vector field colour"),
        ({"profile": "both_fields"}, "vectors by field"),
    ],
)
def test_what_cannot_be_asked_is_told(engine, parts, said):
    with pytest.raises(QueryError, match=said):
        engine.search(query(**parts))
