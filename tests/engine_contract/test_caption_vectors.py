"""Captions with vectors of their own, beside the images': one profile blends three scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.names import encoder_names
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.types import Document, Query, QueryError, VectorField
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


OTHER = "9f8e7d6c" * 8
OF_OTHER = VectorField(encoder_names(OTHER).field("caption_embedding"), 3, OTHER)
BOTH = encoder_names(FINGERPRINT, OTHER)


@pytest.fixture
def two(make_engine):
    """Captions have vectors of an encoder of their own, of another dimension."""
    documents = [
        Document(
            "a", "left effusion", {FIELD.name: vector(1, 0, 0, 0), OF_OTHER.name: vector(1, 1, 0)}
        ),
        Document("b", "effusion", {FIELD.name: vector(0, 1, 0, 0), OF_OTHER.name: vector(1, 0, 0)}),
        Document("c", "a normal chest", {OF_OTHER.name: vector(0, 0, 1)}),
        Document("d", None, {FIELD.name: vector(1, 0.1, 0, 0)}),
    ]
    profiles = SHIPPED.replaced(CAPTION_PROFILES).instantiate(BOTH)
    return make_engine(documents, [FIELD, OF_OTHER], profiles)


def test_each_field_is_compared_with_the_vector_of_its_encoder(two):
    assert two.info().vector_fields == (FIELD, OF_OTHER)
    given = {FIELD.name: vector(1, 0, 0, 0), OF_OTHER.name: vector(0, 0, 1)}
    result = two.search(Query("effusion", vectors=given, profile="hybrid3"))
    closeness = {
        field.name: dict(
            zip(result.ids, result.features[f"closeness(field,{field.name})"], strict=True)
        )
        for field in (FIELD, OF_OTHER)
    }
    assert closeness[FIELD.name]["a"] == pytest.approx(1, abs=1e-6)
    assert closeness[FIELD.name]["c"] == closeness[OF_OTHER.name]["d"] == 0
    assert closeness[OF_OTHER.name]["c"] == pytest.approx(1, abs=1e-6)
    assert closeness[OF_OTHER.name]["b"] == pytest.approx(0.5, abs=1e-6)
    image = Query(vectors={FIELD.name: vector(1, 0, 0, 0)}, profile="hybrid3")
    assert set(two.search(image).ids) == {"a", "b", "d"}  # no caption is compared
    one = two.search(Query("effusion", vector(1, 0, 0, 0), profile="hybrid"))
    assert set(one.ids) == {"a", "b", "d"}


SEVERAL = f"""\
Profile hybrid3 compares {FIELD.name}, {OF_OTHER.name}, of several encoders: give the query's \
vectors by field, or search with the index's own encoders."""
LENGTH = f"""\
The query vector has shape [4], but {OF_OTHER.name} holds vectors of 3: encode the query with the \
index's own encoder."""
UNKNOWN = f"The index has no vector field {CAPTIONS.name}; it has {FIELD.name}, {OF_OTHER.name}."


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query("x", vector(1, 0, 0, 0)), SEVERAL),
        (Query("x", vectors={OF_OTHER.name: vector(1, 0, 0, 0)}), LENGTH),
        (Query("x", vectors={CAPTIONS.name: vector(1, 0, 0, 0)}), UNKNOWN),
    ],
    ids=["one for both", "of the other's length", "of an encoder that is not there"],
)
def test_a_vector_of_the_wrong_encoder_is_refused(two, query, said):
    with pytest.raises(QueryError) as error:
        two.search(replace(query, profile="hybrid3"))
    assert str(error.value) == said


def test_an_update_of_captions_leaves_the_image(two):
    assert two.update([Document("a", vectors={OF_OTHER.name: vector(0, 0, 1)})]).ok == 1
    found = two.get("a").vectors
    np.testing.assert_allclose(found[FIELD.name], vector(1, 0, 0, 0))
    np.testing.assert_allclose(found[OF_OTHER.name], vector(0, 0, 1))
