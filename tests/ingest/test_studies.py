"""Cases and files of frames as documents: what a study is made of, and that it is fed as one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents, mean_direction
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import EngineTarget
from ingest.sources.phantoms import FRAMES, LONGEST, SHORTEST, Cines
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import ROLES, encoder_names
from ranking.profiles.shipped import SHIPPED, STUDY_PROFILES
from ranking.types import Query, VectorField


def drawn_png(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def record(identifier: str, grey: int | None, caption: str, group: str = "", **more) -> Record:
    kind = more.pop("group_kind", "case" if group else "none")
    return Record(
        identifier,
        caption,
        image=None if grey is None else drawn_png(grey),
        group_id=group,
        group_kind=kind,
        split="train",
        **more,
    )


RECORDS = [
    record("a#1", 10, "A cine.", "a", modality="us", concepts=("C1",)),
    record("x", 200, "Alone.", modality="ct"),
    record("a#2", 90, "A cine.", "a", modality="us", concepts=("C2",)),
    record("b1", 30, "First view.", "b", modality="ct"),
    record("b2", None, "A report.", "b", modality="mr"),
    record("f1", 60, "Figure 1.", "article", group_kind="article"),
    record("f2", 70, "Figure 2.", "article", group_kind="article"),
]


@pytest.fixture
def corpus(tmp_path, rows, pixel_encoder):
    made = write_corpus(rows(RECORDS), tmp_path / "corpus")
    embed_corpus(made, pixel_encoder)
    return made


@pytest.fixture
def engine(tmp_path, pixel_encoder):
    manifest = pixel_encoder.manifest
    names = encoder_names(manifest.fingerprint)
    fields = [
        VectorField(names.field(role), 16, manifest.fingerprint, labels=ROLES[role])
        for role in ("embedding", "frames")
    ]
    return EmbeddedEngine.build(tmp_path / "index", [], fields, SHIPPED.replaced(STUDY_PROFILES))


def test_the_images_of_a_case_are_one_document(corpus, pixel_encoder):
    names = encoder_names(pixel_encoder.manifest.fingerprint)
    plain = {d.id: d for d in documents(corpus, pixel_encoder.manifest.fingerprint)}
    made = {d.id: d for d in documents(corpus, pixel_encoder.manifest.fingerprint, studies=True)}
    assert list(made) == ["x", "a", "b", "f1", "f2"]  # each in the place of its last image
    cine, case = made["a"], made["b"]
    assert (cine.caption, cine.modality, cine.concepts) == ("A cine.", "us", ("C1", "C2"))
    assert (case.caption, case.modality) == ("First view.\nA report.", "")
    frames = cine.labelled[names.field("frames")]
    assert list(frames) == ["a#1", "a#2"]
    for label, vector in frames.items():
        np.testing.assert_array_equal(vector, plain[label].vectors[names.embedding])
    mean = sum(frames.values())
    np.testing.assert_allclose(
        cine.vectors[names.embedding], mean / np.linalg.norm(mean), rtol=1e-5
    )
    assert list(case.labelled[names.field("frames")]) == ["b1"]
    assert list(made["x"].labelled[names.field("frames")]) == ["x"]


def test_the_mean_keeps_the_length_of_unit_vectors():
    drawn = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert np.linalg.norm(mean_direction(drawn)) == pytest.approx(1, abs=1e-6)
    assert not mean_direction([drawn[0], -drawn[0]]).any()


def test_studies_are_fed_once_and_again_when_a_frame_changes(
    corpus, engine, pixel_encoder, tmp_path, rows
):
    prints = (pixel_encoder.manifest.fingerprint,)
    source, target = FeedSource(corpus, prints, studies=True), EngineTarget(engine, "index")
    first, again = feed(source, target), feed(source, target)
    assert (first.put, first.refused, again.unchanged, again.sent) == (5, 0, 5, 0)
    names = encoder_names(prints[0])
    query = Query(vector=engine.get("a").labelled[names.field("frames")]["a#2"], profile="frames")
    found = engine.search(query)
    assert found.ids[0] == "a"
    assert found.hits[0].picture == "a#2"
    other = [record("a#2", 250, "A cine.", "a", modality="us", concepts=("C2",))]
    changed = write_corpus(
        rows([*RECORDS[:2], *other, *RECORDS[3:5]]), tmp_path / "changed" / "corpus"
    )
    embed_corpus(changed, pixel_encoder)
    source = FeedSource(changed, prints, studies=True, delete=True)
    result = feed(
        source,
        target,
        ledger=tmp_path
        / "corpus.feeds"
        / next(path.name for path in (tmp_path / "corpus.feeds").glob("*.sqlite")),
    )
    assert (result.updated, result.unchanged, result.removed) == (1, 2, 2)
    assert sorted(engine.ids()) == ["a", "b", "x"]


def test_cines_say_where_the_finding_is_seen():
    drawn = list(Cines(12))
    assert len(drawn) == 12 * FRAMES
    assert [each.id for each in drawn[:2]] == ["cine-train-00000#1", "cine-train-00000#2"]
    assert drawn == list(Cines(12))
    for start in range(0, len(drawn), FRAMES):
        cine = drawn[start : start + FRAMES]
        told = cine[0].extra
        assert SHORTEST <= told["seen_to"] - told["seen_from"] + 1 <= LONGEST
        assert 1 <= told["seen_from"] <= told["seen_to"] <= FRAMES
        assert len({each.image for each in cine}) == FRAMES
        assert {(each.caption, each.group_id) for each in cine} == {
            (cine[0].caption, cine[0].group_id)
        }
    splits = {split: {e.concepts for e in drawn if e.split == split} for split in ("train", "test")}
    assert not splits["train"] & splits["test"]
