"""A hospital's folder of DICOM files becomes a corpus that names no patient."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from typer.testing import CliRunner

from encoders.images.preprocess import decode_image
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import CorpusError, Record, Rejection
from ingest.sources import open_source
from ingest.sources.dicom import Dicom
from ingest.sources.dicom_record import EXTRA, READ
from rocosearch.cli import app
from rocosearch.pipeline import training_pairs

from .conftest import png_bytes
from .dicom_made import PATIENT, RAMP, dataset, dicom_bytes, uid, written

CT = {"WindowCenter": 500, "WindowWidth": 600}


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path: Path) -> tuple[list[Record], list[Rejection]]:
    rows = list(Dicom(path))
    records = [row for row in rows if isinstance(row, Record)]
    return records, [row for row in rows if isinstance(row, Rejection)]


def only(path: Path) -> Record:
    (record,), rejected = read(path)
    assert rejected == []
    return record


def image(number: int, **tags: object) -> bytes:
    return dicom_bytes(RAMP + number, **{**CT, **tags})


def test_a_file_becomes_a_record(tmp_path):
    tags = {
        "Modality": "DX",
        "StudyDescription": "CHEST^2 VIEWS",
        "SeriesDescription": "PA erect",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "ImageLaterality": "L",
        "StudyInstanceUID": uid("study"),
        "SeriesInstanceUID": uid("series"),
        "InstanceNumber": 3,
    }
    data = image(0, **tags)
    record = only(write(tmp_path / "IM0001", data).parent)
    assert record.caption == "CHEST 2 VIEWS, PA erect, CHEST, PA, left"
    assert record.modality == "X-ray"
    assert record.group_kind == "case"
    assert record.group_id.startswith("study-")
    assert record.extra == {
        "caption_from": "tags",
        "dicom_modality": "DX",
        "study_description": "CHEST^2 VIEWS",
        "series_description": "PA erect",
        "body_part": "CHEST",
        "view": "PA",
        "laterality": "left",
        "instance_number": "3",
        "photometric_interpretation": "MONOCHROME2",
        "series": record.extra["series"],
    }
    assert record.image.startswith(b"\x89PNG")
    assert (np.asarray(decode_image(record.image)) == np.asarray(decode_image(data))).all()


@pytest.mark.parametrize(
    ("code", "modality"),
    [("CT", "CT"), ("MR", "MRI"), ("US", "Ultrasound"), ("MG", "Mammography"), ("NM", "NM")],
)
def test_modalities(tmp_path, code, modality):
    write(tmp_path / "a", image(0, Modality=code))
    assert only(tmp_path).modality == modality


def private_values(made: Dataset) -> list[str]:
    return [*PATIENT.values(), made.SOPInstanceUID, uid("study"), uid("series"), "SECRET"]


def test_no_patient_enters_the_corpus(tmp_path):
    """Every value of the file that is not on the list is looked for in all that was stored."""
    private = Dataset()
    private.PatientName = "SECRET^NESTED"
    made = dataset(
        RAMP,
        **CT,
        **PATIENT,
        StudyInstanceUID=uid("study"),
        SeriesInstanceUID=uid("series"),
        OtherPatientIDsSequence=Sequence([private]),
        PatientComments="SECRET",
        StationName="SECRET",
        BodyPartExamined="CHEST",
    )
    made.add_new(0x00090010, "LO", "SECRET OWNER")
    made.add_new(0x00091001, "LO", "SECRET VALUE")
    write(tmp_path / "in" / "1.dcm", written(made))
    corpus = write_corpus(Dicom(tmp_path / "in"), tmp_path / "out")
    (row,) = corpus.rows(["id", "image", "caption", "group_id", "source", "extra", "hashes"])
    kept = repr(row) + repr(corpus.rejected().to_pylist())
    assert [value for value in private_values(made) if value in kept] == []
    allowed = {*EXTRA.values(), "series", "laterality", "caption_from", "frame", "frames"}
    assert json.loads(row["extra"]).keys() <= allowed


def test_captions_of_ones_own_come_first(tmp_path):
    by_uid, by_name = uid("by uid"), uid("by name")
    write(tmp_path / "a" / "IM1", image(1, SOPInstanceUID=by_name, ImageComments="a comment"))
    write(tmp_path / "a" / "IM2", image(2, SOPInstanceUID=by_uid))
    write(tmp_path / "a" / "IM3", image(3, ImageComments="A comment.", BodyPartExamined="KNEE"))
    write(tmp_path / "a" / "IM4", image(4, ImageComments="^^^^", BodyPartExamined="KNEE"))
    write(tmp_path / "a" / "IM5", image(5))
    write(tmp_path / "a" / "captions.csv", 'file,caption\nIM1,"One, by name"\ngone,Nobody\n,x\n')
    write(tmp_path / "captions.csv", f"SOPInstanceUID\tcaption\n{by_uid}\tBy UID\n")
    records, rejected = read(tmp_path)
    assert [(r.caption, r.extra["caption_from"]) for r in records] == [
        ("One, by name", "table"),
        ("By UID", "table"),
        ("A comment.", "ImageComments"),
        ("KNEE", "tags"),
        ("", "none"),
    ]
    assert [(str(r.reason), r.file, r.line) for r in rejected] == [
        ("no id", "a/captions.csv", 4),
        ("missing image", "a/captions.csv", 3),
    ]


def test_a_line_without_a_caption_is_written_down(tmp_path):
    write(tmp_path / "IM1", image(1, BodyPartExamined="KNEE"))
    write(tmp_path / "captions.csv", "file,caption\nIM1,\n")
    (record,), rejected = read(tmp_path)
    assert (record.caption, record.extra["caption_from"]) == ("KNEE", "tags")
    assert [(str(r.reason), r.line, r.row_kept) for r in rejected] == [("no caption", 2, True)]


def test_a_table_of_captions_without_its_columns_is_an_error(tmp_path):
    write(tmp_path / "IM1", image(1))
    write(tmp_path / "captions.csv", "number,words\n1,x\n")
    with pytest.raises(CorpusError, match=r"captions.csv has no caption column"):
        read(tmp_path)


def test_an_image_without_a_caption_is_kept_and_not_trained_on(tmp_path):
    write(tmp_path / "in" / "a", image(0))
    corpus = write_corpus(Dicom(tmp_path / "in"), tmp_path / "out")
    assert [(record.caption, record.split) for record in corpus.records()] == [("", "train")]
    assert list(training_pairs(corpus, "train")) == []
    again = write_corpus(open_source(tmp_path / "out"), tmp_path / "again")
    assert len(again) == 1


def test_frames_and_burned_in_text_are_counted(tmp_path):
    frames = np.stack([RAMP + n for n in range(5)])
    data = dicom_bytes(frames, NumberOfFrames=5, BurnedInAnnotation="YES", **CT)
    write(tmp_path / "in" / "cine", data)
    corpus = write_corpus(Dicom(tmp_path / "in"), tmp_path / "out")
    (record,) = corpus.records()
    assert record.id.endswith("#3")
    assert (record.extra["frame"], record.extra["frames"]) == (3, 5)
    assert record.extra["burned_in_annotation"] == "YES"
    assert corpus.manifest.lost_parts == {"other frames": 1, "text burned into the pixels": 1}
    assert corpus.manifest.rejected == {}


def test_everything_else_is_named(tmp_path):
    report = dataset(RAMP, SOPInstanceUID=uid("report"))
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    write(tmp_path / "out.dcm", image(9))
    root = tmp_path / "export"
    write(root / "DICOMDIR", image(0))
    write(root / "README.TXT", "a viewer")
    write(root / "empty", b"")
    write(root / "p" / "IM1", image(1))
    write(root / "p" / "IM1 copy", image(1))
    write(root / "p" / "SR1", written(report))
    write(root / "p" / "cut", image(2)[:-100])
    write(root / "p" / "huge", image(3, Rows=60_000, Columns=60_000))
    (root / "link").symlink_to(tmp_path / "out.dcm")
    (root / "folder").symlink_to(tmp_path)
    (root / "captions.csv").symlink_to(write(tmp_path / "secret", "file,caption\np/IM1,x\n"))
    write(root / os.fsdecode(b"broken-\xff"), b"")
    write(root / "half.zip", b"PK\x03\x04 half")
    corpus = write_corpus(Dicom(root), tmp_path / "corpus")
    assert len(corpus) == 1
    assert {(r["source"], r["reason"]) for r in corpus.rejected().to_pylist()} == {
        ("DICOMDIR", "DICOM without an image"),
        ("README.TXT", "not a DICOM file"),
        ("broken-?", "not a DICOM file"),
        ("captions.csv", "unsafe path"),
        ("empty", "not a DICOM file"),
        ("folder", "unsafe path"),
        ("half.zip", "unusable image"),
        ("link", "unsafe path"),
        ("p/IM1 copy", "duplicate id"),
        ("p/SR1", "DICOM without an image"),
        ("p/cut", "unusable image"),
        ("p/huge", "unusable image"),
    }
    assert all(row["detail"] for row in corpus.rejected().to_pylist()[:-1] if not row["id"])


def test_archives_are_read_without_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ST0/IM1", image(1))
        archive.writestr("../IM2", image(2))
        archive.writestr("ST0/bomb", bytes(8 << 20))
        archive.writestr("captions.csv", "file,caption\nST0/IM1,The table outside came first\n")
    write(tmp_path / "captions.csv", "file,caption\nexport.zip/ST0/IM1,From the archive\n")
    records, rejected = read(tmp_path)
    assert [(r.caption, r.file) for r in records] == [("From the archive", "export.zip/ST0/IM1")]
    assert [(str(r.reason), r.file) for r in rejected] == [
        ("duplicate id", "export.zip/captions.csv"),
        ("unsafe path", "export.zip/../IM2"),
        ("unusable image", "export.zip/ST0/bomb"),
    ]
    (alone,), _ = read(tmp_path / "export.zip")
    assert alone.id == records[0].id


def test_the_layout_is_recognised(tmp_path):
    write(tmp_path / "a" / "DICOMDIR", image(0))
    write(tmp_path / "a" / "b" / "IM1", image(1))
    write(tmp_path / "a" / "captions.csv", "file,caption\nb/IM1,one\n")  # as ImageCLEF has
    assert isinstance(open_source(tmp_path / "a"), Dicom)
    assert isinstance(open_source(tmp_path / "a" / "b" / "IM1"), Dicom)
    assert only(tmp_path / "a" / "b" / "IM1").image is not None


def test_a_study_is_not_split_and_stock_captions_tie_nothing(tmp_path):
    for number in range(60):
        tags = {"StudyInstanceUID": uid("study", number // 3), "BodyPartExamined": "CHEST"}
        write(tmp_path / "in" / f"IM{number}", image(number, **tags))
    corpus: Corpus = write_corpus(Dicom(tmp_path / "in"), tmp_path / "out")
    assert corpus.manifest.groups == 20
    assert corpus.manifest.groups_across_splits == 0
    assert set(corpus.manifest.splits) == {"train", "validation", "test"}


def test_other_layouts_do_not_take_dicom_files_in(tmp_path):
    write(tmp_path / "in" / "1.dcm", image(1, **PATIENT))
    write(tmp_path / "in" / "2.png", png_bytes())
    lines = [{"file_name": name, "caption": "one"} for name in ("1.dcm", "2.png")]
    write(tmp_path / "in" / "metadata.jsonl", "\n".join(map(json.dumps, lines)))
    corpus = write_corpus(open_source(tmp_path / "in", "imagefolder"), tmp_path / "out")
    (rejected,) = corpus.rejected().to_pylist()
    assert "names its patient: read its folder with --format dicom" in rejected["detail"]


def test_captions_of_any_table_by_file_stem_and_uid(tmp_path):
    study, series = uid("of a study"), uid("of a series")
    write(tmp_path / "train" / "a0bc.dicom", image(1))
    write(tmp_path / "x" / "1", image(2, SeriesInstanceUID=series))
    write(tmp_path / "x" / "2", image(3, SeriesInstanceUID=series))
    write(tmp_path / "y" / "1", image(4, StudyInstanceUID=study))
    write(tmp_path / "by_name.csv", "image_id;Befund\na0bc;Größe normal\n".encode("cp1252"))
    write(tmp_path / "by_uid.tsv", f"StudyInstanceUID\treport\n{study}\tof the study\n")
    lines = json.dumps({"SeriesInstanceUID": series, "text": "of the series"})
    write(tmp_path / "x" / "more.jsonl", lines)
    write(tmp_path / "other.csv", "a,b\n1,2\n")
    records, rejected = read(tmp_path)
    assert {(r.file, r.caption) for r in records} == {
        ("train/a0bc.dicom", "Größe normal"),
        ("x/1", "of the series"),
        ("x/2", "of the series"),
        ("y/1", "of the study"),
    }
    assert [(str(r.reason), r.file) for r in rejected] == [("table not used", "other.csv")]


def test_reports_as_text_files(tmp_path):
    instance = uid("an instance")
    write(tmp_path / "p1" / "s5.txt", "of the\nfolder s5")
    write(tmp_path / "p1" / "s5" / "IM1", image(1))
    write(tmp_path / "p1" / "s6" / "report.txt", "of study s6")
    write(tmp_path / "p1" / "s6" / "IM1.dcm", image(2))
    write(tmp_path / "p1" / "s6" / "IM2.dcm", image(3))
    write(tmp_path / "p1" / "s6" / "IM2.txt", "of one file")
    write(tmp_path / "reports" / f"{instance}.txt", "by its UID")
    write(tmp_path / "p2" / "IM9", image(4, SOPInstanceUID=instance))
    write(tmp_path / "README.txt", "a viewer")
    records, rejected = read(tmp_path)
    assert {(r.file, r.caption) for r in records} == {
        ("p1/s5/IM1", "of the folder s5"),
        ("p1/s6/IM1.dcm", "of study s6"),
        ("p1/s6/IM2.dcm", "of one file"),
        ("p2/IM9", "by its UID"),
    }
    assert {r.extra["caption_from"] for r in records} == {"report"}
    assert [(str(r.reason), r.file) for r in rejected] == [("not a DICOM file", "README.txt")]


def test_a_table_that_speaks_of_other_files_is_told_at_the_end(tmp_path):
    for number in range(3):
        write(tmp_path / "in" / f"IM{number}", image(number))
    write(tmp_path / "in" / "captions.csv", "file,caption\nX1,a\nX2,b\nX3,c\n")
    result = CliRunner().invoke(app, ["corpus", str(tmp_path / "in"), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "Only 0 of 3 captions found their image" in result.output


def test_every_tag_that_is_read_is_in_the_table_of_annex_e():
    page = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text("utf-8")
    table = page[page.index("| tag | Basic Profile |") : page.index("| every other tag |")]
    assert set(READ) <= set(re.findall(r"[A-Z][A-Za-z]+", table))
