"""Vector search against brute force in float64, for every metric and cell type."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.cell_types import CellType, as_floats, cells
from ranking.distances import Distance
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.top_k import top_k
from ranking.types import Document, Query, QueryError, VectorField

RANDOM = np.random.default_rng(11)
DIMENSION = 24


def vectors(count: int, cell_type: CellType) -> np.ndarray:
    found = RANDOM.standard_normal((count, DIMENSION))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.float32(found * (100 if cell_type == "int8" else 1))


def closeness(query: np.ndarray, document: np.ndarray, distance: Distance) -> float:
    q, d = query.astype(float), document.astype(float)
    if distance == "dotproduct":
        return q @ d
    if distance == "euclidean":
        return 1 / (1 + np.linalg.norm(q - d))
    if distance == "angular":
        return 1 / (1 + np.arccos(np.clip(q @ d / np.linalg.norm(q) / np.linalg.norm(d), -1, 1)))
    return 1 / (1 + 1 - np.clip(q @ d / (q @ q), -1, 1))


@pytest.mark.parametrize("distance", get_args(Distance))
@pytest.mark.parametrize("cell_type", get_args(CellType))
def test_hits_and_closeness_are_those_of_brute_force(cell_type, distance):
    field = VectorField("embedding", DIMENSION, cell_type=cell_type, distance=distance)
    documents = vectors(200, cell_type)
    engine = EmbeddedEngine.in_memory(
        [Document(f"d{n:03}", vectors={"embedding": v}) for n, v in enumerate(documents)], [field]
    )
    stored = as_floats(cells(documents, cell_type))
    for query in vectors(5, cell_type):
        cut = as_floats(cells(query, cell_type))
        expected = np.array([closeness(cut, document, distance) for document in stored])
        result = engine.search(Query(vector=query, profile="vector", k=20))
        best = np.argsort(-expected, kind="stable")[:20]
        np.testing.assert_allclose(result.scores, expected[best], rtol=2e-6, atol=1e-6)
        assert set(result.ids[:15]) <= {f"d{n:03}" for n in best}


def test_bfloat16_is_cut_not_rounded():
    value = np.array([1.0 + 2**-7 + 2**-8 + 2**-9], np.float32)
    assert as_floats(cells(value, "bfloat16"))[0] == 1.0 + 2**-7


def test_int8_drops_the_fraction():
    assert cells(np.array([1.9, -1.9, 300], np.float32), "int8").tolist() == [1, -1, 127]


def test_a_document_without_a_vector_is_not_found_by_one():
    field = VectorField("embedding", 2)
    engine = EmbeddedEngine.in_memory(
        [
            Document("a", "chest", {"embedding": np.float32([1, 0])}),
            Document("b", "chest"),
        ],
        [field],
    )
    query = np.float32([1, 0])
    assert engine.search(Query(vector=query, profile="vector")).ids == ("a",)
    result = engine.search(Query(text="chest", vector=query, profile="hybrid_sum"))
    assert result.ids == ("a", "b")
    assert [hit.features["closeness(field,embedding)"] for hit in result] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("vector", "reason"), [([1, 2, 3], "shape"), ([np.nan, 1], "NaN"), ([np.inf, 1], "infinity")]
)
def test_a_wrong_query_vector_is_refused(vector, reason):
    engine = EmbeddedEngine.in_memory(
        [Document("a", vectors={"embedding": np.float32([1, 0])})], [VectorField("embedding", 2)]
    )
    with pytest.raises(QueryError, match=reason):
        engine.search(Query(vector=np.float32(vector), profile="vector"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 6), max_size=30),
    st.integers(0, 12),
)
def test_top_k_takes_the_largest_and_of_equals_the_first(keys, count):
    values = np.array(keys, np.float32)
    order = sorted(range(len(keys)), key=lambda n: (-values[n], n))
    assert top_k(values, count).tolist() == sorted(order[:count])
