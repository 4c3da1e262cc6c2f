"""An application of studies against Vespa's own Java code: schema, feed, queries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.model.manifest import Manifest
from ranking.engine.engine import EmbeddedEngine
from ranking.names import EncoderNames, encoder_names
from ranking.profiles.shipped import (
    CAPTION_PROFILES,
    SHIPPED,
    STUDY_PROFILES,
    Phase,
    Profile,
    ProfileSet,
)
from ranking.types import Document, EngineError, Query, QueryError, VectorField
from tests.live.kit import Kit
from vespa_app.feed.operations import Operation, feed_line
from vespa_app.feed.store import put_fields, vector_fields
from vespa_app.package.options import PackageOptions, VectorOptions
from vespa_app.package.package import write_application
from vespa_app.query.query import search_request
from vespa_app.read.application import Application, read_application

SIZE = 24
ALONE = Profile("alone", "max_sim(q_tokens, patches)", ("text",))
LATE = Profile(
    "late",
    inherits="study",
    functions={"late": "max_sim(q_tokens, patches)"},
    second_phase=Phase("late + 0.1 * blend", 100),
    match_features=("late", "bm25(caption)", "closest(frames)"),
)
STUDIES = SHIPPED.replaced((*STUDY_PROFILES, *CAPTION_PROFILES, LATE), default="study")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, encoder_folders: tuple[Path, Path]) -> Path:
    root = tmp_path_factory.mktemp("studies")
    manifest = Manifest.load(encoder_folders[0])
    write_application(root / "app", manifest, STUDIES, encoder_folders[0], {"caption": 21.1})
    small = PackageOptions(embedding="client", vectors=VectorOptions("int8", hnsw=False))
    write_application(root / "small", manifest, STUDIES, options=small)
    write_application(root / "images", manifest, SHIPPED, encoder_folders[0])
    return root


@pytest.fixture(scope="module")
def application(package: Path) -> Application:
    return read_application(package / "app")


@pytest.fixture(scope="module")
def names(application: Application) -> EncoderNames:
    return encoder_names(application.encoders[0].short)


def unit(seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal(SIZE)
    return np.float32(found / np.linalg.norm(found))


def study(names: EncoderNames) -> Document:
    frames = {"0": unit(1), "17": unit(2), "a b": unit(3)}
    return Document(
        "s1", "a cine", {names.embedding: unit(4)}, labelled={names.field("frames"): frames}
    )


def test_accepted(package: Path, kit: Kit) -> None:
    for answer in kit.validate(package / "app", package / "small"):
        assert (answer["ok"], answer["warnings"], answer["suspects"]) == (True, [], [])


def test_the_schema_has_a_field_of_frames(
    package: Path, application: Application, names: EncoderNames
):
    (encoder,) = application.encoders
    frames, patches, captions = encoder.others
    assert (patches.name, patches.labels) == (names.field("patches"), "patch")
    assert application.resolve("late").patches == patches.name
    assert application.resolve("late").compared == (frames.name,)
    assert (captions.name, captions.labels) == (names.field("caption_embedding"), "")
    assert (frames.name, frames.labels, frames.dimension) == (names.field("frames"), "frame", SIZE)
    assert encoder.fingerprint == frames.fingerprint == encoder.field.fingerprint
    assert application.resolve("study").compared == (frames.name,)
    assert application.resolve("hybrid").compared == (encoder.field.name,)
    assert application.resolve("hybrid3").compared == (encoder.field.name, captions.name)
    assert read_application(package / "images").encoders[0].others == ()


def test_feed_lines_are_fine(package: Path, names: EncoderNames, kit: Kit) -> None:
    for name in ("app", "small"):
        served = read_application(package / name)
        put = Operation("put", "s1", put_fields(study(names), served))
        update = Operation("update", "s1", vector_fields(study(names), served))
        answers = kit(
            "feed-json",
            package / name,
            lines=[feed_line(each, served.schema).strip() for each in (put, update)],
        )
        assert all(answer["ok"] for answer in answers), answers


def test_queries_reach_the_content_nodes(
    package: Path, application: Application, names: EncoderNames, kit: Kit
) -> None:
    asked = [
        Query("cine of a heart", unit(0), profile=profile, timeout=30)
        for profile in ("frames", "study", "hybrid", "lexical", "hybrid3")
    ]
    tokens = {names.field("frames"): unit(0), names.field("patches"): np.stack([unit(1), unit(2)])}
    asked.append(Query("cine", vectors=tokens, profile="late", timeout=30))
    bodies = [search_request(query, application, hits=10).body for query in asked]
    bodies += [{"queryProfile": p, "text": "cine", "timeout": "30s"} for p in ("frames", "study")]
    for body, answer in zip(
        bodies, kit("yql", package / "app", lines=map(json.dumps, bodies)), strict=True
    ):
        assert answer["status"] == 200, answer
        profile = body.get("ranking.profile", body.get("queryProfile"))
        frames = profile in ("frames", "study", "late")
        assert (names.field("frames") in json.dumps(answer)) == frames


def test_max_sim_is_what_vespas_evaluator_computes(
    package: Path, names: EncoderNames, kit: Kit
) -> None:
    lines, expected = [], []
    for seed, (tokens, patches) in enumerate([(3, 4), (1, 1), (8, 16), (2, 0)]):
        drawn = np.random.default_rng(seed).standard_normal
        asked, stored = (np.float32(drawn((count, SIZE))) for count in (tokens, patches))
        features = {
            f"query({names.tokens})": literal("token", asked),
            f"attribute({names.field('patches')})": literal("patch", stored),
        }
        lines.append(json.dumps({"features": features, "function": "late"}))
        found = [Document("d", labelled={names.field("patches"): dict(enumerate_labels(stored))})]
        field = VectorField(names.field("patches"), SIZE, labels="patch")
        engine = EmbeddedEngine.in_memory(found, [field], ProfileSet((ALONE,), "alone"))
        query = Query("x", vectors={field.name: asked}, profile="alone")
        reader = engine._reader
        expected.append(reader.max_sim(field.name, query.vectors[field.name], np.array([0]))[0])
    profile = f"late_{names.short}"
    answers = kit(
        "expr", "--app", package / "app", "--profile", profile, "--phase", "first", lines=lines
    )
    found = [answer["value"] for answer in answers]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def enumerate_labels(vectors: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [(str(number), vector) for number, vector in enumerate(vectors)]


def literal(label: str, vectors: np.ndarray) -> str:
    cells = (f"{number}:{vector.tolist()}" for number, vector in enumerate(vectors))
    return f"tensor<float>({label}{{}},x[{SIZE}]):{{{','.join(cells)}}}"


def test_one_encoders_fields_are_asked_by_one_vector(application: Application, names: EncoderNames):
    vectors = {names.embedding: unit(0), names.field("frames"): unit(1)}
    body = search_request(Query(vectors=vectors, profile="frames"), application, hits=3).body
    assert body[f"input.query({names.query})"] == unit(1).astype(">f4").tobytes().hex()
    with pytest.raises(QueryError, match="no vector field other"):
        search_request(Query(vectors={"other": unit(0)}, profile="frames"), application, hits=3)


@pytest.mark.parametrize("part", ["vectors", "labelled"])
def test_a_vector_of_the_wrong_kind_is_refused(application: Application, names: EncoderNames, part):
    wrong = {
        "vectors": {names.field("frames"): unit(0)},
        "labelled": {names.embedding: {"0": unit(0)}},
    }
    with pytest.raises(EngineError, match="holds"):
        put_fields(Document("x", **{part: wrong[part]}), application)
