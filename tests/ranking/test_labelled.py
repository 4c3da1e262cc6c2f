"""Several vectors a document, by both routes, against brute force over every vector."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest

from ranking.cell_types import CellType, as_floats, cells
from ranking.distances import Distance
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.kernels import loader
from ranking.profiles.shipped import SHIPPED, Profile, ProfileError, ProfileSet
from ranking.types import Document, EngineError, Filter, Query, QueryError, VectorField
from tests.ranking.test_vectors import closeness

DIMENSION = 24
frames_query = partial(Query, profile="frames")
ROUTES = ("exact", "native") if loader.available() else ("exact",)
PROFILES = ProfileSet(
    (
        *SHIPPED.profiles,
        Profile(
            "frames",
            retrieve=("vector",),
            first_phase="closeness(field, frames)",
            match_features=("closeness(field, frames)", "closest(frames)"),
        ),
        Profile(
            "words_too",
            retrieve=("text", "vector"),
            first_phase="bm25(caption) + closeness(field, frames)",
            match_features=("bm25(caption)", "closeness(field, frames)", "closest(frames)"),
        ),
        Profile(
            "whole_and_frames",
            retrieve=("vector",),
            first_phase="closeness(field, embedding) + closeness(field, frames)",
        ),
    ),
    default="frames",
)


def study(number: int, *, scale: float = 1.0) -> Document:
    """A document of 0 to 5 frames, drawn by its number; some frames are equal."""
    drawn = np.random.default_rng(number).standard_normal((number % 6, DIMENSION))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    if number % 12 == 4:
        drawn[2] = drawn[1]
    frames = {f"{3 * n + 1}": np.float32(scale * vector) for n, vector in enumerate(drawn)}
    return Document(
        f"s{number:04}",
        "odd one" if number % 2 else "even",
        modality="ct" if number % 3 else "mr",
        labelled={"frames": frames} if frames else {},
    )


def asked(number: int, scale: float = 1.0) -> np.ndarray:
    vector = np.random.default_rng(9000 + number).standard_normal(DIMENSION)
    return np.float32(scale * vector / np.linalg.norm(vector))


def brute(field: VectorField, documents, query) -> list[tuple[str, float, str]]:
    """(id, closeness, label) of every document with a frame, best first."""
    cut = as_floats(cells(query, field.cell_type))
    rows = []
    for document in documents:
        found = [
            (closeness(cut, as_floats(cells(vector, field.cell_type)), field.distance), label)
            for label, vector in document.labelled.get("frames", {}).items()
        ]
        if found:
            value, label = max(found, key=lambda each: each[0])
            rows.append((document.id, value, label))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def check(result, expected) -> None:
    assert list(result.ids) == [row[0] for row in expected]
    np.testing.assert_allclose(result.scores, [row[1] for row in expected], rtol=1e-6, atol=1e-6)
    assert result.closest["closest(frames)"] == tuple(row[2] for row in expected)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("distance", get_args(Distance))
@pytest.mark.parametrize("cell_type", get_args(CellType))
def test_the_nearest_documents_are_those_of_brute_force(cell_type, distance, route):
    scale = 100.0 if cell_type == "int8" else 1.0
    field = VectorField("frames", DIMENSION, "", cell_type, distance, labels="frame")
    documents = [study(number, scale=scale) for number in range(400)]
    engine = EmbeddedEngine.in_memory(documents, [field], PROFILES, route=route)
    for number in range(4):
        query = asked(number, scale)
        expected = brute(field, documents, query)
        result = engine.search(frames_query(vector=query, k=10, target_hits=10))
        np.testing.assert_allclose(result.scores, [row[1] for row in expected[:10]], atol=2e-6)
        assert result.total == 10
        if cell_type == "float":
            check(result, expected[:10])


FIELD = VectorField("frames", DIMENSION, labels="frame")


@pytest.fixture(params=ROUTES)
def engine(request):
    return EmbeddedEngine.in_memory(
        [study(number) for number in range(300)], [FIELD], PROFILES, route=request.param
    )


def test_documents_are_counted_not_vectors(engine):
    """One document holds more near vectors than there are hits asked for."""
    near = {f"{n}": np.float32(asked(0) + 1e-3 * asked(n + 1)) for n in range(200)}
    engine.feed([Document("crowd", labelled={"frames": near})])
    result = engine.search(frames_query(vector=asked(0), k=20, target_hits=20))
    assert (len(result), result.total, result.ids[0]) == (20, 20, "crowd")
    assert len(engine.search(frames_query(vector=asked(0), k=500, target_hits=500))) == 251


def test_updates_removals_filters_and_segments(engine):
    documents = {d.id: d for d in map(study, range(300))}
    for number in range(0, 60, 5):
        changed = replace(study(number + 1000), id=f"s{number:04}", caption="changed")
        documents[changed.id] = changed
        engine.feed([changed])
    moved = Document("s0007", "not looked at", labelled={"frames": {"9": asked(0)}})
    assert engine.update([moved]).ok == 1
    documents["s0007"] = replace(documents["s0007"], labelled=moved.labelled)
    gone = [f"s{number:04}" for number in range(1, 300, 9)]
    engine.remove(gone)
    left = [document for name, document in documents.items() if name not in gone]
    everything = engine.search(frames_query(vector=asked(0), k=300, target_hits=300))
    check(everything, brute(FIELD, left, asked(0)))
    only = [document for document in left if document.modality == "mr"]
    query = frames_query(vector=asked(2), k=8, target_hits=8)
    query = replace(query, filters=(Filter("modality", ("mr",)),))
    check(engine.search(query), brute(FIELD, only, asked(2))[:8])
    stored = engine.get("s0007")
    assert stored.caption == "odd one"
    np.testing.assert_array_equal(stored.labelled["frames"]["9"], asked(0))
    assert engine.get("s0012").labelled == {}


def test_words_find_documents_whose_frames_are_compared_too(engine):
    result = engine.search(Query("odd", asked(1), profile="words_too", k=300, target_hits=5))
    assert result.total == 150 + sum(int(name[1:]) % 2 == 0 for name in result.ids)
    by_id = {row[0]: row for row in brute(FIELD, map(study, range(300)), asked(1))}
    for hit in result:
        _, value, label = by_id.get(hit.id, ("", 0.0, ""))
        assert hit.features["closeness(field,frames)"] == pytest.approx(value, abs=1e-6)
        assert hit.closest["closest(frames)"] == label


def test_without_a_vector_nothing_is_closest(engine):
    result = engine.search(Query("odd", profile="words_too"))
    assert set(result.closest["closest(frames)"]) == {""}
    assert not result.features["closeness(field,frames)"].any()


def test_what_is_written_is_what_is_opened(tmp_path):
    documents = [study(number) for number in range(50)]
    written = EmbeddedEngine.build(tmp_path / "index", documents, [FIELD], PROFILES)
    assert written.info().vector_fields == (FIELD,)
    check(written.search(frames_query(vector=asked(3), k=50)), brute(FIELD, documents, asked(3)))
    found = written.get("s0005").labelled["frames"]
    assert found.keys() == study(5).labelled["frames"].keys()
    assert np.array_equal([*found.values()], [*study(5).labelled["frames"].values()])


def test_one_vector_serves_all_fields_of_its_encoder():
    fields = [VectorField("embedding", DIMENSION, "ab"), replace(FIELD, fingerprint="ab")]
    documents = [
        Document("one", vectors={"embedding": asked(0)}, labelled={"frames": {"a": asked(1)}}),
        Document("two", vectors={"embedding": asked(1)}, labelled={"frames": {"b": asked(0)}}),
    ]
    query = Query(vector=asked(0), profile="whole_and_frames")
    result = EmbeddedEngine.in_memory(documents, fields, PROFILES).search(query)
    assert result.scores[0] == pytest.approx(result.scores[1])
    others = [fields[0], replace(FIELD, fingerprint="cd")]
    with pytest.raises(QueryError, match="by field"):
        EmbeddedEngine.in_memory(documents, others, PROFILES).search(query)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("x", vectors={"frames": asked(0)}), "holds vectors under labels"),
        (Document("x", labelled={"embedding": {"a": asked(0)}}), "holds one vector"),
        (Document("x", labelled={"frames": {"a": asked(0)[:3]}}), "has shape"),
        (Document("x", labelled={"frames": {"a": np.full(24, np.nan, np.float32)}}), "NaN"),
        (Document("x", labelled={"frames": {"\0": asked(0)}}), "label"),
        (Document("x", labelled={"films": {"a": asked(0)}}), "no vector field films"),
    ],
)
def test_what_cannot_be_stored_is_told(document, reason):
    engine = EmbeddedEngine.in_memory([], [VectorField("embedding", DIMENSION), FIELD], PROFILES)
    ((name, told),) = engine.feed([document]).failed
    assert name == "x"
    assert reason in told


def test_an_index_without_frames_refuses_a_profile_of_frames():
    engine = EmbeddedEngine.in_memory([], [VectorField("embedding", DIMENSION)], PROFILES)
    with pytest.raises(EngineError, match="compares frames, and this index has no such vectors"):
        engine.search(frames_query(vector=asked(0)))


def test_a_label_is_no_number():
    with pytest.raises(ProfileError, match="is a label, not a number"):
        ProfileSet((Profile("p", "closest(frames)", ("vector",)),), "p")
