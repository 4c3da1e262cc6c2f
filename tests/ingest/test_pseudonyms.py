"""Frames, pseudonyms under a key, the way back, and a patient forgotten."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from encoders.training.seen_pairs import SEEN, Record, Seen
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import CorpusError
from ingest.sources.dicom import Dicom
from ingest.sources.dicom_record import chosen_frames
from ingest.sources.pseudonyms import Pseudonyms
from ingest.vectors.embed import embed_corpus, read_embeddings
from rocosearch.cli import app
from rocosearch.page.judgements import Judgement, Judgements, beside

from .conftest import PixelEncoder
from .dicom_made import RAMP, dicom_bytes, uid


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Six patients of two studies each; the first one's file is a cine of eight frames."""
    root = tmp_path / "export"
    for patient in range(6):
        for study in range(2):
            tags = {
                "PatientID": f"ID-{patient}",
                "StudyInstanceUID": uid("study", patient, study),
                "SeriesInstanceUID": uid("series", patient, study),
                "ImageComments": f"finding {patient} {study}",
            }
            pixels = RAMP + 40 * patient + study
            if not patient and not study:
                pixels = np.stack([np.roll(RAMP, 97 * n) for n in range(8)])
                tags["NumberOfFrames"] = 8
            path = root / f"P{patient}" / f"S{study}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dicom_bytes(pixels, **tags))
    return root


def test_frames_that_are_kept():
    assert [chosen_frames("middle", n) for n in (1, 4, 5)] == [[0], [2], [2]]
    assert chosen_frames("all", 3) == [0, 1, 2]
    assert chosen_frames(1, 5) == [2]
    assert chosen_frames(3, 9) == [1, 4, 7]


def test_frames_become_records_of_one_study(export, tmp_path):
    for wanted, numbers in (("middle", [5]), ("all", list(range(1, 9))), ("2", [3, 7])):
        out = tmp_path / wanted
        run("corpus", export, out, "--frames", wanted, "--key", tmp_path / "key")
        cine = [record for record in Corpus.open(out).records() if "frames" in record.extra]
        assert [record.extra["frame"] for record in cine] == numbers
        bases = {record.id.partition("#")[0] for record in cine}
        assert [record.id for record in cine] == [f"{next(iter(bases))}#{n}" for n in numbers]
        assert len({record.group_id for record in cine}) == 1
        assert len({record.image_sha256 for record in cine}) == len(numbers)
    assert "is not middle, all" in run("corpus", export, out, "--frames", "some", code=2)


def test_pseudonyms_need_the_key_and_tie_a_patients_studies(export, tmp_path):
    run("corpus", export, tmp_path / "out")
    key = tmp_path / "out.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(f"{key}.sources").stat().st_mode) == 0o600
    corpus = Corpus.open(tmp_path / "out")
    records = list(corpus.records())
    names = Pseudonyms.at(key)
    first = records[0]
    assert first.subject_id == names.of("patient", "ID-0")
    assert first.group_id == names.of("study", uid("study", 0, 0))
    assert first.id.partition("#")[0] != Pseudonyms().of("dicom", uid("x"))
    subjects = {record.subject_id for record in records}
    assert len(subjects) == 6
    assert all(len({r.split for r in records if r.subject_id == s}) == 1 for s in subjects)
    assert corpus.manifest.groups_across_splits == 0
    assert not any(b"ID-0" in part.read_bytes() for part in corpus.parts)
    again = write_corpus(Dicom(export, key=tmp_path / "other"), tmp_path / "again")
    assert set(again.table(["id"])["id"].to_pylist()).isdisjoint(r.id for r in records)
    same = write_corpus(Dicom(export, key=key), tmp_path / "same")
    assert same.table(["id"]) == corpus.table(["id"])


def test_a_key_inside_the_corpus_or_open_to_others_is_refused(export, tmp_path):
    output = run("corpus", export, tmp_path / "out", "--key", tmp_path / "out" / "key", code=1)
    assert "would be inside the corpus" in output
    key = tmp_path / "key"
    Pseudonyms.at(key, made=True)
    key.chmod(0o644)
    with pytest.raises(CorpusError, match="Other users can read"):
        Pseudonyms.at(key)
    key.chmod(0o600)
    key.write_text("short")
    with pytest.raises(CorpusError, match="is not a key file"):
        Pseudonyms.at(key)
    with pytest.raises(CorpusError, match="There is no key at"):
        Pseudonyms.at(tmp_path / "nothing")


def test_from_a_hit_back_to_its_file_and_viewer(export, tmp_path):
    out, index = tmp_path / "out", tmp_path / "index"
    run("corpus", export, out, "--frames", "2")
    run("index", out, index)
    record = next(iter(Corpus.open(out).records()))
    viewer = "https://pacs/?StudyInstanceUIDs={study}"
    told = run("source", index, record.id, "--key", tmp_path / "out.key", "--viewer", viewer)
    assert told.splitlines() == [
        f"{export / 'P0' / 'S0'}, frame 3",
        f"https://pacs/?StudyInstanceUIDs={uid('study', 0, 0)}",
    ]
    told = json.loads(run("source", index, record.id, "--key", tmp_path / "out.key", "--json"))
    assert told["file"] == str(export / "P0" / "S0")
    nowhere = ("--viewer", "https://pacs/")
    unnamed = run("source", index, record.id, "--key", tmp_path / "out.key", *nowhere, code=1)
    assert "names none of {study}" in unnamed
    unknown = run("source", index, "dicom-1", "--key", tmp_path / "out.key", code=1)
    assert "has no file for 'dicom-1'" in unknown


def keep_record(corpus, fingerprint, images=(), subjects=(), validated=()):
    """What an encoder saw, beside the vectors that it made."""
    key = bytes(16)

    def seen(images, subjects):
        blank = [""] * max(len(images), len(subjects))
        return Seen.of(
            images=list(images) or blank,
            looks=blank,
            captions=blank,
            groups=blank,
            subjects=list(subjects) or blank,
            key=key,
        )

    folder = corpus / "embeddings" / fingerprint
    folder.mkdir()
    Record(seen(images, subjects), seen((), validated)).write(folder / SEEN)


@pytest.mark.parametrize("by", ["id", "pseudonym"])
def test_a_forgotten_patient_is_nowhere(export, tmp_path, by):
    out, index, key = tmp_path / "out", tmp_path / "index", tmp_path / "out.key"
    (export / "P2" / "broken").write_bytes(dicom_bytes(RAMP, PatientID="ID-2")[:-900])
    run("corpus", export, out)
    corpus = Corpus.open(out)
    encoder = PixelEncoder()
    embed_corpus(corpus, encoder)
    run("index", out, index)
    (out / "features" / "tower").mkdir(parents=True)
    names = Pseudonyms.at(key)
    subject = names.of("patient", "ID-2")
    gone = [record.id for record in corpus.records() if record.subject_id == subject]
    before = {record.id: record for record in corpus.records()}
    vectors = dict(zip(*read_embeddings(corpus, encoder.manifest.fingerprint), strict=True))
    image = next(r.image_sha256 for r in corpus.records() if r.id == gone[0])
    keep_record(out, "a" * 64, subjects=[subject])
    keep_record(out, "b" * 64, images=[image])
    keep_record(out, "c" * 64, subjects=["patient-of-others"])
    keep_record(out, "d" * 64, validated=[subject])
    run("feed", out, "--to", index)
    kept, judged = Judgements(beside(out)), next(name for name in before if name not in gone)
    for name in (gone[0], judged):
        kept.add(Judgement("finding", name, 1))
    told = run("forget", "ID-2" if by == "id" else subject, "--key", key, out, index)
    for name in "ab":
        assert f"Encoder {name * 8} was trained on the patient" in told
    assert f"Encoder {'c' * 8} was made without the patient" in told
    assert f"Encoder {'d' * 8} was validated on the patient" in told
    assert f"Encoder {encoder.manifest.fingerprint[:8]} has no record" in told
    assert f"2 records of {subject} were removed" in told
    assert f"{index}: 2 documents removed" in told
    assert "1 judgements of the documents were removed" in told
    assert [each.document for each in kept.last()] == [judged]
    after = Corpus.open(out)
    assert {r.id: r for r in after.records()} == {k: v for k, v in before.items() if k not in gone}
    assert after.manifest.split_rule == corpus.manifest.split_rule
    left = dict(zip(*read_embeddings(after, encoder.manifest.fingerprint), strict=True))
    assert left.keys() == vectors.keys() - set(gone)
    assert all(np.array_equal(left[name], vectors[name]) for name in left)
    hidden = re.compile("|".join([*gone, "finding 2"]).encode())
    for folder in (out, index, tmp_path / "out.feeds"):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".parquet":
                assert not hidden.search(path.read_bytes()), path
    for part in out.rglob("*.parquet"):
        assert not set(gone) & set(map(str, pq.read_table(part).to_pydict().get("id", []))), part
    assert "finding 3" in run("search", index, "finding 3", "--profile", "lexical")
    assert names.sources_of(subject) == []
    assert not (out / "features").exists()
    assert "have no record" in run("forget", "ID-2", "--key", key, out, code=1)


def test_an_instance_with_other_pixels_is_kept_under_another_id(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for number, pixels in enumerate((RAMP, RAMP, np.roll(RAMP, 99))):
        data = dicom_bytes(pixels, SOPInstanceUID=uid("same"), ImageComments="c")
        (root / f"IM{number}").write_bytes(data)
    corpus = write_corpus(Dicom(root), tmp_path / "out")
    first, second = corpus.records()
    assert second.id.startswith(f"{first.id}-")
    assert corpus.manifest.rejected == {"duplicate id": 1}
    assert corpus.manifest.lost_parts == {"same SOPInstanceUID, other pixels": 1}


def test_an_image_of_one_grey_and_unused_tags_are_counted(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    (root / "black").write_bytes(dicom_bytes(np.zeros_like(RAMP), ImageComments="c"))
    tags = {"RescaleSlope": 0, "RescaleIntercept": 1}
    (root / "odd").write_bytes(dicom_bytes(RAMP, ImageComments="d", **tags))
    corpus = write_corpus(Dicom(root), tmp_path / "out")
    assert corpus.manifest.lost_parts == {"DICOM tag not used": 1, "image of one grey": 1}
