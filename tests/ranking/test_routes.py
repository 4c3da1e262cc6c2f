"""The native route gives the hits, order and features of the exact one; the codes behind it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.cell_types import CellType
from ranking.distances import Distance
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.segment import vectors
from ranking.engine.segment.codes import exact_codes, short_codes
from ranking.profiles.shipped import SHIPPED, Phase, Profile, ProfileSet
from ranking.types import Document, Filter, Query, QueryError, Result, VectorField
from tests.ranking.drawn import drawn_documents

_core = pytest.importorskip("ranking.engine.kernels._core", reason="was not compiled")

DIMENSION = 24
WORDS = [f"w{n}" for n in range(60)]

COSINE = "if (attribute(has_vector), 2 - 1 / closeness(field, embedding), -1)"
EXPRESSIONS = {
    "rescaled": f"bm25(caption) + 12 * {COSINE}",
    "angle": f"atan(bm25(caption) / 4) - acos({COSINE})",
    "steps": f"if (bm25(caption) > 2, 3 + bm25(caption), tanh({COSINE}))",
    "unbounded": "bm25(caption) - 3 * distance(field, embedding)",
    "falling": f"bm25(caption) * cos(3 * {COSINE})",
    "alike": "floor(bm25(caption))",
    "negative": "-20 + bm25(caption) + closeness(field, embedding)",
}
PROFILES = ProfileSet(
    (
        *SHIPPED.profiles,
        *(Profile(n, retrieve=("text", "vector"), first_phase=e) for n, e in EXPRESSIONS.items()),
        Profile(
            "phases",
            inherits="hybrid",
            second_phase=Phase("closeness(field, embedding) - bm25(caption) / 9", 30),
            global_phase=Phase("normalize_linear(bm25(caption)) + normalize_linear(blend)", 20),
        ),
        Profile("words_only", inherits="rescaled", retrieve=("text",), first_phase=""),
    ),
    default="hybrid",
)


class Both:
    """One index, searched by both routes."""

    def __init__(
        self, count: int, *, short: bool = False, field: VectorField | None = None
    ) -> None:
        self.field = field or VectorField("embedding", DIMENSION)
        self.documents = drawn_documents(count, 5, WORDS, DIMENSION)
        if self.field.cell_type == "int8":
            self.documents = [_enlarged(document) for document in self.documents]
        with pytest.MonkeyPatch.context() as patch:
            if short:
                patch.setattr(vectors, "SHORT_CODES_FROM", 100)
            self.exact, self.native = (
                EmbeddedEngine.in_memory(self.documents, [self.field], PROFILES, route=route)
                for route in ("exact", "native")
            )

    def feed(self, documents) -> None:
        for engine in (self.exact, self.native):
            engine.feed(documents)

    def remove(self, identifiers) -> None:
        for engine in (self.exact, self.native):
            engine.remove(identifiers)

    def check(self, query: Query) -> None:
        check_same(self.native.search(query), self.exact.search(query))


def _enlarged(document: Document) -> Document:
    return Document(
        document.id,
        document.caption,
        {name: 300 * vector for name, vector in document.vectors.items()},
        modality=document.modality,
    )


def in_segments() -> Both:
    made = Both(900)
    for start in range(900, 1700, 200):
        made.feed(drawn_documents(1700, 5, WORDS, DIMENSION)[start : start + 200])
    made.remove([f"d{n:04}" for n in range(0, 1700, 7)])
    return made


def with_removed() -> Both:
    made = Both(1200)
    made.remove([f"d{n:04}" for n in range(0, 1200, 7)])
    return made


# The largest is so large that frequent words get rows of their own.
INDEXES = {
    "rows": Both(9000),
    "removed": with_removed(),
    "segments": in_segments(),
    "few": Both(40),
    "none": Both(0),
} | {
    f"{cells} {metric}": Both(
        700, field=VectorField("embedding", DIMENSION, cell_type=cells, distance=metric)
    )
    for cells, metric in zip(
        ("float", "bfloat16", "int8", "float", "int8"),
        ("angular", "prenormalized-angular", "euclidean", "dotproduct", "angular"),
        strict=True,
    )
}


TEXT_ONLY = ("lexical", "lexical_affirmed", "lexical_pseudo", "words_only")


@st.composite
def queries(draw: st.DrawFn) -> Query:
    profile = draw(st.sampled_from(PROFILES.names()))
    half = draw(st.sampled_from(["both", "both", "text", "vector"]))
    words = draw(st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=6))
    seed = draw(st.integers(0, 1000))
    operator = draw(st.sampled_from(["", "", "+w2 ", "-w1 ", "modality:ct "]))
    without_text = profile == "vector" or (half == "vector" and profile not in TEXT_ONLY)
    return Query(
        "" if without_text else operator + " ".join(words),
        np.float32(np.random.default_rng(seed).standard_normal(DIMENSION))
        if profile in ("vector", "image") or half != "text"
        else None,
        profile,
        k=draw(st.sampled_from([0, 1, 10, 10, 70, 600])),
        target_hits=draw(st.sampled_from([0, 1, 40, 100])),
        matching=draw(st.sampled_from(["or", "or", "or", "weakAnd"])),
        operators=bool(operator),
        filters=draw(
            st.sampled_from(
                [
                    (),
                    (),
                    (Filter("modality", ("ct",)),),
                    (Filter("modality", ("mr",), exclude=True),),
                ]
            )
        ),
        exclude_ids=draw(st.sampled_from([frozenset(), frozenset({"d0001", "d0030", "nobody"})])),
        hidden_captions=draw(st.sampled_from([frozenset(), frozenset({"d0003", "d0100", "no"})])),
        group_by=draw(st.sampled_from([None, None, None, "modality"])),
        with_documents=draw(st.booleans()),
    )


def check_same(found: Result, right: Result) -> None:
    assert found.ids == right.ids
    np.testing.assert_allclose(found.scores, right.scores, rtol=1e-12)
    assert found.features.keys() == right.features.keys()
    for name, values in right.features.items():
        np.testing.assert_allclose(found.features[name], values, rtol=1e-12)
    assert (found.total, found.warnings, found.coverage) == (
        right.total,
        right.warnings,
        right.coverage,
    )
    assert [each.id for each in found.documents] == [each.id for each in right.documents]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*INDEXES]), queries())
def test_the_routes_agree(name, query):
    INDEXES[name].check(query)


@pytest.mark.parametrize("seed", range(60))
def test_more_hits_than_nearest_are_found(seed):
    """So that the first documents with a word are looked at before any score is known."""
    random = np.random.default_rng(seed)
    words = " ".join(random.choice(WORDS, random.integers(1, 6)))
    vector = np.float32(random.standard_normal(DIMENSION))
    k, nearest = (int(random.integers(*between)) for between in ((20, 600), (1, 60)))
    INDEXES["rows"].check(Query(words, vector, "hybrid", k=k, target_hits=nearest))


def test_words_are_where_few_documents_are():
    """Bounds made for one mean length hold for another."""
    made = Both(5000)
    made.feed([Document(f"long{n}", " ".join(WORDS * 40)) for n in range(300)])
    made.remove([f"d{n:04}" for n in range(100, 5000)])
    for n in range(12):
        made.check(Query(f"w{n} w{n * 2} w50", profile="lexical"))


@pytest.mark.parametrize("name", ["rows", "segments", "removed"])
@settings(max_examples=15, deadline=None)
@given(asked=st.lists(queries(), min_size=1, max_size=30))
def test_many_queries_give_what_each_gives_alone(name, asked):
    engine = INDEXES[name].native
    for many, query in zip(engine.search_many(asked), asked, strict=True):
        check_same(many, engine.search(query))


def test_no_queries_have_no_results():
    assert INDEXES["few"].native.search_many([]) == []


@pytest.mark.parametrize("huge", [10**9, 2**40, 10**20])
def test_more_is_asked_for_than_there_is_room_for(huge):
    for route in (INDEXES["rows"].native, INDEXES["rows"].exact):
        for asked in (
            Query("w1", profile="lexical", k=huge),
            Query("w1", target_hits=huge, k=huge),
        ):
            one = route.search(asked)
            assert len(one) == one.total
            check_same(route.search_many([asked])[0], one)


def test_a_query_at_fault_among_many_is_named():
    asked = [Query("w1", profile="lexical"), Query("", profile="lexical"), Query("w2")]
    with pytest.raises(QueryError, match="empty"):
        INDEXES["rows"].native.search_many(asked)


def test_every_metric_and_cell_type_is_among_the_indexes():
    held = [each.field for each in INDEXES.values()]
    assert {field.distance for field in held} == set(get_args(Distance))
    assert {field.cell_type for field in held} == set(get_args(CellType))


def compare_all(stored: np.ndarray, codes, query: np.ndarray, count: int, allowed=None):
    """The nearest by the core, and how many it compared."""
    whole = _core.Vectors(stored, np.ones(len(stored), bool), None, 2)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, len(stored))
    docs, *_, scan = _core.nearest(whole, coded, query, allowed, count)
    return docs, scan


@pytest.mark.parametrize(("latent", "shortest"), [(8, True), (128, False)])
def test_codes_are_as_long_as_the_vectors_need(latent, shortest):
    """Vectors that lie near a few directions get short codes, those that do not long ones."""
    random = np.random.default_rng(1)
    made = random.standard_normal((6000, latent)) @ random.standard_normal((latent, 128))
    made += 0.05 * random.standard_normal(made.shape)
    made = np.float32(made / np.linalg.norm(made, axis=1, keepdims=True))
    codes = short_codes(made, np.ones(6000, bool))
    assert (len(codes.basis) == 32) == shortest
    recall = [
        np.isin(np.argsort(-(made @ query))[:10], compare_all(made, codes, query, 10)[0]).mean()
        for query in made[::100]
    ]
    assert np.mean(recall) >= 0.99


def test_codes_honour_a_filter():
    made = np.random.default_rng(2).standard_normal((500, 40)).astype(np.float32)
    allowed = np.arange(500) % 7 == 0
    found, _ = compare_all(made, short_codes(made, np.ones(500, bool)), made[3], 10, allowed)
    assert len(found) == 10
    assert allowed[found].all()


@pytest.mark.parametrize("count", [1, 20, 300])
def test_how_many_are_compared_does_not_depend_on_the_order_of_the_documents(count):
    """Of vectors without structure most codes are within the margin, however few are asked for."""
    random = np.random.default_rng(3)
    made = random.standard_normal((3000, 48)).astype(np.float32)
    query = random.standard_normal(48).astype(np.float32)
    found = []
    for order in (np.arange(3000), *(random.permutation(3000) for _ in range(3))):
        codes = exact_codes(made[order])
        docs, scan = compare_all(made[order], codes, query, count)
        found.append((scan.compared, sorted(order[docs])))
    assert found[0][0] > count
    assert all(each == found[0] for each in found)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([0.01, 1.0, 300.0]))
def test_codes_of_all_components_never_lose_a_neighbour(seed, count, length):
    random = np.random.default_rng(seed)
    made = np.float32(length * random.standard_normal((200, 12)))
    query = np.float32(random.standard_normal(12))
    nearest = np.argsort(-(made.astype(float) @ query))[:count]
    found, _ = compare_all(made, exact_codes(made), query, count)
    assert set(nearest) == set(found)
