"""Many queries answered together give what each gives alone, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from encoders.jit import compiled
from ranking.engine.compiled import batch
from ranking.engine.compiled.kernels import scan_codes
from ranking.engine.compiled.register_kernels import (
    QUERIES,
    _copy,
    _plain_products,
    bits_above,
    pack,
    products_of,
)
from ranking.engine.compiled.tile_kernels import TILE, keep_tile, keeper, settled
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.segment import vectors
from ranking.profiles.shipped import SHIPPED
from ranking.types import Filter, Query, QueryError, Result, VectorField
from tests.ranking.drawn import drawn_documents

FIELD = VectorField("embedding", 24)
WORDS = [f"w{n}" for n in range(60)]
PROFILES = SHIPPED.names()


def engine(count: int, *, short: bool = False, exact: bool = False) -> EmbeddedEngine:
    with pytest.MonkeyPatch.context() as patch:
        if short:
            patch.setattr(vectors, "SHORT_CODES_FROM", 100)
        return EmbeddedEngine.in_memory(drawn_documents(count, 5, WORDS, 24), [FIELD], exact=exact)


def with_removed() -> EmbeddedEngine:
    made = engine(1200)
    made.remove([f"d{n:04}" for n in range(0, 1200, 7)])
    return made


def in_parts() -> EmbeddedEngine:
    made = engine(900)
    made.feed(drawn_documents(1300, 5, WORDS, 24)[900:])
    return made


# A first query on a machine compiles for longer than the usual time-out, which it says.
PATIENT = 600.0
ENGINES = {
    "whole": engine(2 * TILE + 100, short=True),
    "all components": engine(1500),
    "removed": with_removed(),
    "segments": in_parts(),
    "few": engine(40),
    "exact": engine(600, short=True, exact=True),
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    profile = draw(st.sampled_from(PROFILES))
    half = draw(st.sampled_from(["both", "both", "text", "vector"]))
    words = draw(st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=6))
    seed = draw(st.integers(0, 1000))
    return Query(
        ""
        if profile == "vector" or (half == "vector" and profile != "lexical")
        else " ".join(words),
        np.float32(np.random.default_rng(seed).standard_normal(24))
        if profile in ("vector", "image") or half != "text"
        else None,
        profile,
        k=draw(st.sampled_from([1, 10, 10, 70])),
        target_hits=draw(st.sampled_from([0, 1, 100, 100])) if profile != "vector" else 30,
        matching=draw(st.sampled_from(["or", "or", "or", "weakAnd"])),
        operators=draw(st.sampled_from([False, False, True])),
        filters=draw(st.sampled_from([(), (), (Filter("modality", ("ct",)),)])),
        exclude_ids=draw(st.sampled_from([frozenset(), frozenset({"d0001", "d0030"})])),
        hidden_captions=draw(st.sampled_from([frozenset(), frozenset({"d0003", "d0100", "no"})])),
        group_by=draw(st.sampled_from([None, None, None, "modality"])),
        with_documents=draw(st.booleans()),
        timeout=PATIENT,
    )


@compiled
def bits_of(numbers, start, edge):
    return bits_above(numbers, start, np.int32(edge))


@compiled
def best_of_tiles(scores, wanted, margin):
    kept = keeper(np.full(1, margin), wanted)
    for begin in range(0, len(scores), TILE):
        keep_tile(kept, 0, scores[begin : begin + TILE], begin)
    return settled(kept)[0]


def check_same(many: Result, one: Result) -> None:
    assert many.ids == one.ids
    np.testing.assert_array_equal(many.scores, one.scores)
    assert many.features.keys() == one.features.keys()
    for name, values in one.features.items():
        np.testing.assert_array_equal(many.features[name], values)
    assert (many.total, many.warnings, many.coverage) == (one.total, one.warnings, one.coverage)
    assert [each.id for each in many.documents] == [each.id for each in one.documents]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*ENGINES]), st.lists(queries(), min_size=1, max_size=30))
def test_queries_of_every_kind_give_what_each_gives_alone(name, asked):
    engine = ENGINES[name]
    for many, query in zip(engine.search_many(asked), asked, strict=True):
        check_same(many, engine.search(query))


def test_more_queries_than_are_answered_together(monkeypatch):
    monkeypatch.setattr(batch, "TOGETHER", 3)
    asked = [Query(f"w{n} w{n // 2}", profile="lexical") for n in range(40)]
    engine = ENGINES["whole"]
    for many, query in zip(engine.search_many(asked), asked, strict=True):
        check_same(many, engine.search(query))
    assert engine.search_many([]) == []


@pytest.mark.parametrize("huge", [10**9, 2**40, 10**20])
def test_more_is_asked_for_than_there_is_room_for(huge):
    engine = ENGINES["whole"]
    for asked in (Query("w1", profile="lexical", k=huge), Query("w1", target_hits=huge, k=huge)):
        one = engine.search(asked)
        assert len(one) == one.total
        check_same(engine.search_many([asked])[0], one)


def test_the_first_query_at_fault_is_named_before_any_is_answered():
    asked = [Query("w1", profile="lexical"), Query("", profile="lexical"), Query("w2", k=-1)]
    with pytest.raises(QueryError, match="empty"):
        ENGINES["whole"].search_many(asked)


@pytest.mark.parametrize(("lay", "multiply"), [(pack, products_of), (_copy, _plain_products)])
def test_products_of_codes_are_those_of_the_scan(lay, multiply):
    random = np.random.default_rng(1)
    blocks = random.integers(-63, 64, (3, 40, 64)).astype(np.int8)
    cells = random.integers(-63, 64, (QUERIES, 40)).astype(np.int8)
    expected, found = np.zeros((QUERIES, 256), np.int32), np.zeros((QUERIES, 256), np.int32)
    for query in range(QUERIES):
        scan_codes(blocks, cells[query], expected[query])
    packed = np.empty((3, 10, 256), np.uint8)
    lay(blocks, packed)
    multiply(packed, cells, found)
    np.testing.assert_array_equal(found, expected)


def test_a_bit_for_each_number_above():
    numbers = np.random.default_rng(2).integers(-5, 5, 256).astype(np.int32)

    expected = np.packbits(numbers > 2, bitorder="little").view(np.uint64)
    assert [bits_of(numbers, start, 2) for start in range(0, 256, 64)] == expected.tolist()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 400),
    st.sampled_from([0.0, 3.0]),
    st.sampled_from([3 * TILE, 2 * TILE + 64, 11 * 64]),
)
def test_the_best_of_many_tiles_are_kept(seed, wanted, margin, size):
    random = np.random.default_rng(seed)
    scores = random.integers(0, random.integers(2, 3000), size)
    found = best_of_tiles(scores.astype(np.int32), wanted, margin)
    edge = np.sort(scores)[-wanted] - margin
    np.testing.assert_array_equal(found, np.flatnonzero(scores >= edge))
