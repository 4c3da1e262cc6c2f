"""Several vectors a document under labels: the same in every engine."""

from __future__ import annotations

import numpy as np
import pytest

from ranking.profiles.shipped import SHIPPED, STUDY_PROFILES
from ranking.types import Document, Filter, Query, VectorField
from tests.engine_contract.test_contract import FIELD, FINGERPRINT, NAMES, vector

FRAMES = VectorField(NAMES.field("frames"), 4, FINGERPRINT, labels="frame")
PROFILES = SHIPPED.replaced(STUDY_PROFILES, default="study").instantiate(NAMES)
CLOSENESS, CLOSEST = f"closeness(field,{FRAMES.name})", f"closest({FRAMES.name})"
ACROSS = (0, 1, 0, 0)


def study(identifier: str, caption: str, frames: dict[str, tuple], **fields: object) -> Document:
    found = {label: vector(*numbers) for label, numbers in frames.items()}
    if not found:
        return Document(identifier, caption, **fields)
    mean = {FIELD.name: vector(*np.sum([*found.values()], axis=0))}
    return Document(identifier, caption, mean, labelled={FRAMES.name: found}, **fields)


DOCUMENTS = [
    study("a", "Cine of a heart", {"0": (1, 0, 0, 0), "7": (0, 1, 0, 0), "12": (1, 1, 0, 0)}),
    study("b", "Cine of a lung", {"1": (0, 0, 1, 0), "2": (0, 0.8, 0.6, 0)}, modality="us"),
    study("c", "One image of a heart", {"first": (0, 0.9, 0.1, 0)}),
    study("d", "Words about a heart", {}),
]


@pytest.fixture
def engine(make_engine):
    return make_engine(DOCUMENTS, [FIELD, FRAMES], PROFILES)


def ask(engine, numbers, **options):
    return engine.search(Query(vector=vector(*numbers), **{"profile": "frames", **options}))


def test_the_index_names_both_fields(engine):
    assert engine.info().vector_fields == (FIELD, FRAMES)


def test_a_document_is_as_near_as_its_nearest_vector(engine):
    result = ask(engine, ACROSS)
    assert result.ids == ("a", "c", "b")
    assert result.closest[CLOSEST] == ("7", "first", "2")
    assert result.hits[2].closest == {CLOSEST: "2"}
    np.testing.assert_allclose(
        result.scores, [1, 1 / (2 - 0.9 / np.sqrt(0.82)), 1 / 1.2], atol=1e-6
    )
    np.testing.assert_allclose(result.features[CLOSENESS], result.scores)


def test_target_hits_count_documents(engine):
    assert ask(engine, ACROSS, target_hits=2, k=2).ids == ("a", "c")


def test_filters_stand_before_the_nearest_are_chosen(engine):
    result = ask(engine, ACROSS, filters=(Filter("modality", ("us",)),), target_hits=1)
    assert result.ids == ("b",)


def test_the_mean_is_another_field_of_the_same_encoder(engine):
    assert ask(engine, ACROSS, profile="vector").ids[0] == "c"


def test_words_and_frames_together(engine):
    result = ask(engine, ACROSS, profile="study", text="heart")
    assert set(result.ids) == {"a", "b", "c", "d"}
    by_id = {hit.id: hit for hit in result}
    assert by_id["d"].closest == {CLOSEST: ""}
    assert by_id["d"].features[CLOSENESS] == 0
    assert by_id["a"].features["bm25(caption)"] > 0
    assert by_id["a"].closest == {CLOSEST: "7"}


def test_documents_come_back_with_their_vectors(engine):
    found = engine.get("a").labelled[FRAMES.name]
    assert found.keys() == {"0", "7", "12"}
    np.testing.assert_allclose(found["12"], vector(1, 1, 0, 0), rtol=1e-6)
    assert engine.get("d").labelled == {}


def test_an_update_replaces_the_labels_and_removal_takes_them(engine):
    new = Document("b", "ignored", labelled={FRAMES.name: {"9": vector(*ACROSS)}})
    assert engine.update([new]).ok == 1
    result = ask(engine, ACROSS)
    assert (result.ids[:2], result.closest[CLOSEST][:2]) == (("a", "b"), ("7", "9"))
    assert engine.get("b").caption == "Cine of a lung"
    assert engine.remove(["a"]) == 1
    assert ask(engine, ACROSS).ids == ("b", "c")


def test_vectors_of_the_wrong_kind_are_reported(engine):
    report = engine.feed(
        [
            Document("one", vectors={FRAMES.name: vector(*ACROSS)}),
            Document("two", labelled={FIELD.name: {"0": vector(*ACROSS)}}),
            Document("three", labelled={FRAMES.name: {"0": np.float32([1, 0])}}),
        ]
    )
    assert [name for name, _ in report.failed] == ["one", "two", "three"]
    assert "under labels" in report.failed[0][1]
    assert "one vector" in report.failed[1][1]
    assert "shape" in report.failed[2][1]
