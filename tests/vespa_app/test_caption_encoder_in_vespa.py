"""An application whose captions have an encoder of their own, against Vespa's own Java code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.inference.onnx_encoder import OnnxEncoder
from ranking.names import encoder_names
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.types import Document, Query, VectorField
from tests.live.kit import Kit
from vespa_app.deploy.changes import compare
from vespa_app.feed.operations import Operation, feed_line
from vespa_app.feed.store import put_fields
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import PackagedEncoder, write_application
from vespa_app.query.query import search_request
from vespa_app.read.application import read_application

PROFILES = SHIPPED.replaced(CAPTION_PROFILES)


@pytest.fixture(scope="module")
def encoders(encoder_folders: tuple[Path, Path]) -> tuple[PackagedEncoder, PackagedEncoder]:
    images, captions = map(PackagedEncoder.open, encoder_folders)
    return images, captions


@pytest.fixture(scope="module")
def app(tmp_path_factory, encoders) -> Path:
    root, (images, captions) = tmp_path_factory.mktemp("captions"), encoders
    write_application(
        root / "app", images.manifest, PROFILES, images.folder, {"caption": 9.0}, captions=captions
    )
    return root / "app"


@pytest.fixture(scope="module")
def names(encoders):
    return encoder_names(*(each.manifest.fingerprint for each in encoders))


def test_each_encoder_has_its_field_and_its_fingerprint(app, names, encoders):
    application = read_application(app)
    made = [
        VectorField(name, each.manifest.dimension, each.manifest.fingerprint)
        for name, each in zip(
            (names.embedding, names.field("caption_embedding")), encoders, strict=True
        )
    ]
    assert [e.fields for e in application.encoders] == [(made[0],), (made[1],)]
    assert application.resolve("hybrid3").compared == tuple(field.name for field in made)
    assert application.resolve("hybrid3").encoder == application.encoders[0]
    vectors = {f.name: np.eye(1, f.dimension, dtype=np.float32)[0] for f in made}
    fields = put_fields(Document("a", "effusion", vectors), application)
    prints = {name: value for name, value in fields.items() if name.startswith("fingerprint_")}
    assert prints == {f"fingerprint_{f.fingerprint[:8]}": f.fingerprint for f in made}
    assert f"has_vector_{made[1].fingerprint[:8]}" not in (app / "schemas/image.sd").read_text()


def test_accepted_and_fed(app, names, encoders, tmp_path, kit: Kit):
    images, captions = encoders
    small = tmp_path / "small"
    client = PackageOptions(embedding="client")
    write_application(
        small, captions.manifest, PROFILES, others=[images], captions=captions, options=client
    )
    for answer in kit.validate(app, small):
        assert (answer["ok"], answer["warnings"], answer["suspects"]) == (True, [], [])
    both = encoder_names(captions.manifest.fingerprint)
    schema = (small / "schemas/image.sd").read_text()
    assert schema.count("field caption_embedding_") == 1
    assert f"field {both.field('caption_embedding')} type" in schema
    vectors = {
        names.embedding: np.eye(1, 24, dtype=np.float32)[0],
        names.field("caption_embedding"): np.eye(1, 16, dtype=np.float32)[0],
    }
    for folder in (app, small):
        served = read_application(folder)
        put = Operation("put", "a", put_fields(Document("a", "effusion", vectors), served))
        lines = [feed_line(put, served.schema).strip()]
        assert [answer["ok"] for answer in kit("feed-json", folder, lines=lines)] == [True]


def test_a_query_has_a_vector_of_each(app, names, encoder_folders, kit: Kit):
    application, text = read_application(app), "nodule in the left lung"
    vectors = {
        name: OnnxEncoder.load(folder).encode_texts([text])[0]
        for name, folder in zip(
            (names.embedding, names.field("caption_embedding")), encoder_folders, strict=True
        )
    }
    asked = [
        Query(text, profile="hybrid3", timeout=30),  # embedded inside
        Query(text, vectors=vectors, profile="hybrid3", timeout=30),
    ]
    bodies = [search_request(query, application, hits=5).body for query in asked]
    bodies.append({"queryProfile": "hybrid3", "text": text, "timeout": "30s"})
    for answer in kit("yql", app, lines=map(json.dumps, bodies)):
        assert answer["status"] == 200, answer
        for field in vectors:
            assert f"q_{field.rpartition('_')[2]}" in answer["query"]
            assert field in answer["query"]
        image = str(answer["properties"][names.query])  # of more numbers it tells the norm
        assert float(image.rpartition("norm ")[2]) == pytest.approx(1, abs=1e-6)
        told = str(answer["properties"][names.query_of("caption_embedding")])
        found = json.loads(told.partition("]):")[2])
        np.testing.assert_allclose(found, vectors[names.field("caption_embedding")], atol=1e-5)


def test_captions_are_embedded_as_by_their_encoder(app, names, encoder_folders, kit: Kit):
    texts = ["nodule in the left lung", "ct"]
    embedder = names.embedder_of("caption_embedding")
    answers = kit(
        *("embed", "--app", app, "--embedder", embedder, "--type", "tensor<float>(x[16])"),
        lines=texts,
    )
    expected = OnnxEncoder.load(encoder_folders[1]).encode_texts(texts)
    np.testing.assert_allclose([answer["values"] for answer in answers], expected, atol=1e-5)


def test_the_score_is_what_vespas_evaluator_computes(app, names, encoders, kit: Kit):
    given = {
        "bm25(caption)": 4.0,
        f"closeness(field,{names.embedding})": 0.7,
        f"closeness(field,{names.field('caption_embedding')})": 0.9,
        "attribute(has_caption)": 1.0,
        f"attribute({names.has_vector})": 1.0,
    }
    profile = f"hybrid3_{names.short}"
    (answer,) = kit(
        *("expr", "--app", app, "--profile", profile, "--phase", "first"),
        lines=[json.dumps({"features": given})],
    )
    scale = encoders[0].manifest.logit_scale or PROFILES.resolve("hybrid3").inputs["scale"]
    words, image, caption = 100 * 4 / 104, scale * (2 - 1 / 0.7), scale * (2 - 1 / 0.9)
    assert answer["value"] == pytest.approx(0.5 * words + 0.5 * image + 0.5 * caption, rel=1e-6)


def test_another_encoder_of_captions_is_a_change(app, encoders, tmp_path):
    images, _ = encoders
    write_application(tmp_path / "own", images.manifest, PROFILES, images.folder, {"caption": 9.0})
    changes = compare(app, tmp_path / "own")
    told = " ".join(change.text for change in changes)
    for name in ("caption_embedding_", "fingerprint_"):
        assert f"{name}{encoders[1].manifest.fingerprint[:8]}" in told
    assert any(change.need == "data loss" or change.override for change in changes)
