"""An index of studies is evaluated by study, and its frames by the source's marks."""

from __future__ import annotations

import numpy as np
import pytest

from eval.evaluate import Options, evaluate
from eval.protocols.studies import study_to_study, text_to_frame
from eval.protocols.tasks import Skipped
from eval.report.report import write_report
from eval.search.targets import EmbeddedTarget
from ingest.corpus.corpus import write_corpus
from ingest.feed.documents import documents
from ingest.sources.phantoms import Cines
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import SHIPPED, STUDY_PROFILES
from ranking.types import VectorField

from .conftest import make_pool


@pytest.fixture(scope="module")
def cines(tmp_path_factory):
    return write_corpus(Cines(30, side=32), tmp_path_factory.mktemp("studies") / "corpus")


@pytest.fixture(scope="module")
def engine(cines, encoder):
    embed_corpus(cines, encoder)
    manifest = encoder.manifest
    names = encoder_names(manifest.fingerprint)
    fields = [
        VectorField(names.field(role), manifest.dimension, manifest.fingerprint, labels=labels)
        for role, labels in (("embedding", ""), ("frames", "frame"))
    ]
    found = documents(cines, manifest.fingerprint, studies=True)
    return EmbeddedEngine.in_memory(found, fields, SHIPPED.replaced(STUDY_PROFILES))


@pytest.fixture(scope="module")
def evaluation(cines, engine, encoder):
    return evaluate(EmbeddedTarget(engine), encoder, cines, Options(profiles=("vector", "frames")))


def test_documents_are_studies(evaluation, cines):
    tested = {r.group_id: r.caption for r in cines.records("test")}
    assert dict(zip(evaluation.pool.ids, evaluation.pool.captions, strict=True)) == tested
    assert "Documents are studies: 6 of 72 images" in " ".join(evaluation.pool.notes)
    assert {"caption", "text-to-frame", "study-to-study"} <= {
        r.task.protocol for r in evaluation.tasks
    }
    assert ("image-to-image", "documents are studies: study-to-study") in {
        (each.protocol, each.reason) for each in evaluation.skipped
    }


def test_right_frames_are_those_that_the_source_marks(evaluation, cines, encoder):
    records = sorted(cines.records("test"), key=lambda r: (r.group_id, r.extra["frame"]))
    vectors = encoder.encode_images([r.image for r in records])
    result = next(r for r in evaluation.tasks if r.task.protocol == "text-to-frame")
    judged = result.task.qrels.to_mapping()
    for topic, value in zip(result.task.topics, result.values["vector"]["RR@10"], strict=True):
        right = {
            r.id
            for r in records
            if r.group_id == topic.id
            and r.extra["seen_from"] <= r.extra["frame"] <= r.extra["seen_to"]
        }
        assert judged[topic.id] == dict.fromkeys(right, 1)
        order = np.argsort(-(vectors @ encoder.encode_texts([topic.text])[0]), kind="stable")
        ranks = [rank for rank, at in enumerate(order[:10], 1) if records[at].id in right]
        assert value == pytest.approx(1 / ranks[0] if ranks else 0.0)


def test_the_report_of_studies_is_written(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    assert (tmp_path / "report" / "runs" / "text-to-frame.frames.trec").stat().st_size


def test_studies_of_one_patient_find_each_other():
    pool = make_pool(
        [(f"study {n}", f"d{n:02d}", []) for n in range(5)],
        subjects=("anna", "bert", "anna", "", ""),
        members=tuple((f"{n}a", f"{n}b") for n in range(5)),
    )
    (task,) = study_to_study(pool)
    assert task.qrels.to_mapping() == {"d00": {"d02": 1}, "d02": {"d00": 1}}
    assert [topic.excluded for topic in task.topics] == [(0,), (2,)]
    (without_marks,) = text_to_frame(pool)
    assert "no frame is marked" in without_marks.reason


def test_studies_with_equal_captions_share_their_frames():
    pool = make_pool(
        [("lesion", "d00", []), ("Lesion.", "d01", []), ("mass", "d02", [])],
        members=(("0a", "0b"), ("1a", "1b", "1c"), ("2a", "2b")),
        shown=frozenset({"0b", "1a", "1b", "2a", "2b"}),
    )
    (task,) = text_to_frame(pool)
    right = {"0b": 1, "1a": 1, "1b": 1}
    assert task.qrels.to_mapping() == {"d00": right, "d01": right}
    assert task.notes == ("1 query left out: no frame is marked, or all are.",)


def test_an_index_of_images_has_no_studies(pool):
    for builder in (text_to_frame, study_to_study):
        (skipped,) = builder(pool)
        assert isinstance(skipped, Skipped)
        assert "rocosearch index --studies" in skipped.reason
    assert pool.any_image(np.arange(len(pool)) == 3).tolist() == [n == 3 for n in range(len(pool))]
