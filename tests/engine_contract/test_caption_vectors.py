"""Captions with vectors of their own, beside the images': one profile blends three scores."""

from __future__ import annotations

import numpy as np
import pytest

from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.types import Document, Query, VectorField
from tests.engine_contract.test_contract import FIELD, FINGERPRINT, NAMES, vector

CAPTIONS = VectorField(NAMES.field("caption_embedding"), 4, FINGERPRINT)
PROFILES = SHIPPED.replaced(CAPTION_PROFILES).instantiate(NAMES)
DOCUMENTS = [
    Document(
        "a", "left effusion", {FIELD.name: vector(1, 0, 0, 0), CAPTIONS.name: vector(1, 1, 0, 0)}
    ),
    Document("b", "effusion", {FIELD.name: vector(0, 1, 0, 0), CAPTIONS.name: vector(1, 0, 0, 0)}),
    Document("c", "a normal chest", {CAPTIONS.name: vector(1, 0.2, 0, 0)}),
    Document("d", None, {FIELD.name: vector(1, 0.1, 0, 0)}),
]


@pytest.fixture
def engine(make_engine):
    return make_engine(DOCUMENTS, [FIELD, CAPTIONS], PROFILES)


def test_three_scores_are_added(engine):
    query = Query("effusion", vector(1, 0, 0, 0), profile="hybrid3", inputs={"beta": 2.0})
    result = engine.search(query)
    two = engine.search(Query("effusion", vector(1, 0, 0, 0), profile="hybrid"))
    assert set(result.ids) == {"a", "b", "c", "d"}
    scale = PROFILES.resolve("hybrid3").inputs["scale"]
    closeness = result.features[f"closeness(field,{CAPTIONS.name})"]
    cosine = np.where(closeness > 0, np.maximum(0, 2 - 1 / np.maximum(closeness, 1e-9)), 0)
    expected = dict(zip(result.ids, 2.0 * scale * cosine, strict=True))
    blend = dict(zip(two.ids, two.scores, strict=True))
    for identifier, score in zip(result.ids, result.scores, strict=True):
        if identifier in blend:
            assert score == pytest.approx(blend[identifier] + expected[identifier], abs=1e-4)
    assert expected["d"] == 0
    assert expected["b"] == pytest.approx(2 * scale, rel=1e-5)


def test_a_document_keeps_both_vectors(engine):
    found = engine.get("a").vectors
    assert found.keys() == {FIELD.name, CAPTIONS.name}
    assert engine.info().vector_fields == (FIELD, CAPTIONS)


def test_an_update_of_one_leaves_the_other(engine):
    assert engine.update([Document("a", vectors={CAPTIONS.name: vector(0, 0, 0, 1)})]).ok == 1
    found = engine.get("a").vectors
    np.testing.assert_allclose(found[FIELD.name], vector(1, 0, 0, 0))
    np.testing.assert_allclose(found[CAPTIONS.name], vector(0, 0, 0, 1))
