"""Every layout, well-formed and not, made up here; the real ones are in test_real_layouts."""

from __future__ import annotations

import csv
import json
import os
import signal
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.corpus.records import CorpusError, Record, Rejection
from ingest.sources import open_source

from .conftest import png_bytes


def read(path: Path, layout: str = "auto") -> tuple[list[Record], list[Rejection]]:
    rows = list(open_source(path, layout))
    records = [row for row in rows if isinstance(row, Record)]
    return records, [row for row in rows if isinstance(row, Rejection)]


def reasons(rejections: list[Rejection]) -> list[tuple[str, str]]:
    return [(str(r.reason), r.id) for r in rejections]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- any source ------------------------------------------------------------------------------


def test_a_missing_source(tmp_path):
    with pytest.raises(CorpusError, match="does not exist"):
        open_source(tmp_path / "nothing")


@pytest.mark.parametrize(
    "layout", ["roco", "dicom", "imageclef", "imagefolder", "parquet", "table"]
)
def test_an_empty_folder(tmp_path, layout):
    with pytest.raises(CorpusError, match=r"is not|is no|has no"):
        list(open_source(tmp_path, layout))


def test_an_unknown_layout(tmp_path):
    with pytest.raises(CorpusError, match="has no image, no table and no DICOM file"):
        open_source(tmp_path)
    with pytest.raises(CorpusError, match="There is no format 'nifti'"):
        open_source(tmp_path, "nifti")


# --- ROCO ------------------------------------------------------------------------------------


@pytest.fixture
def roco(tmp_path: Path) -> Path:
    folder = tmp_path / "roco" / "data" / "validation" / "radiology"
    write(
        folder / "captions.txt", "R1\t First caption \x0b here.\r\nR2\tSecond.\nR3\t\nR4 no tab\n"
    )
    write(folder / "cuis.txt", "R1\t\tC0040405\tC1\nR2\t\nR9\tC2\n")
    write(folder / "keywords.txt", "R1\t\tfirst\n")
    write(folder / "semtypes.txt", "R1\t\tT060\tDiagnostic Procedure\n")
    write(folder / "dlinks.txt", "R1\twget -r ftp://x/PMC42.tar.gz -P /d\tfig-1.jpg\n")
    write(folder / "licences.txt", "ROCO_ID,PMC_ID,CC\nR1,PMC42_fig-1.jpg,CC BY\n")
    return folder


@pytest.mark.parametrize("above", range(4))
def test_roco_from_any_folder_above(roco, above):
    path = [roco, *roco.parents][above]
    records, rejected = read(path)
    assert [record.id for record in records] == ["R1", "R2", "R3"]
    assert reasons(rejected) == [("malformed row", "R4 no tab"), ("no caption with this id", "R9")]
    first = records[0]
    assert first.caption == " First caption \x0b here."
    assert first.concepts == ("C0040405", "C1")
    assert (first.group_id, first.group_kind, first.licence) == ("PMC42", "article", "CC BY")
    assert (first.split, first.modality, first.image) == ("validation", "CT", None)
    assert first.extra["keywords"] == ["first"]
    assert first.extra["semtypes"] == [["T060", "Diagnostic Procedure"]]


def test_roco_with_some_images(roco):
    image = png_bytes()
    write(roco / "images" / "R1.jpg", image)
    records, rejected = read(roco)
    assert [record.image for record in records] == [image, None, None]
    missing = [r for r in rejected if r.reason == "missing image"]
    assert [(r.id, r.row_kept) for r in missing] == [("R2", True), ("R3", True)]


def test_roco_names_each_file_with_its_split_and_each_image_without_a_row(roco):
    write(roco / "images" / "R7.jpg", png_bytes())
    write(roco / "cuis.txt", "R1\tC1\nR1\tC2\n")
    records, rejected = read(roco)
    assert records[0].concepts == ("C1",)
    found = [(r.file, str(r.reason), r.id) for r in rejected if r.reason != "missing image"]
    assert found == [
        ("cuis.txt", "duplicate id", "R1"),
        ("captions.txt", "malformed row", "R4 no tab"),
        ("images/R7.jpg", "image without a row", "R7"),
    ]


def test_roco_separated_by_commas(roco):
    write(roco / "captions.txt", "R1,First\nR2,Second\n")
    with pytest.raises(CorpusError, match=r"captions.txt should be separated by tabs"):
        read(roco)


# --- ImageCLEF -------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def imageclef(tmp_path: Path) -> Path:
    root = tmp_path / "clef"
    write(root / "concepts.txt", "C1\tone\nC0024485\tMagnetic Resonance Imaging\n")
    for name, split in (("Train", "train"), ("Valid", "valid")):
        rows = f'ID\tcaption\n{split}_1\tA "quoted" caption\n{split}_2\t"say ""so"""\n'
        write(root / name / f"caption_prediction_{split}.csv", rows)
        concepts = f"ID\tcuis\n{split}_1\tC1;C7\n{split}_2\tC0024485\n"
        write(root / name / f"concept_detection_{split}.csv", concepts)
        images = {f"resized/{split}_{n}.png": png_bytes(n) for n in (1, 2)}
        zipped(root / name / f"resized_{split}.zip", images)
    return root


def test_imageclef(imageclef):
    records, rejected = read(imageclef)
    assert [r.id for r in records] == ["train_1", "train_2", "valid_1", "valid_2"]
    assert [r.split for r in records] == ["train", "train", "validation", "validation"]
    assert [r.caption for r in records[:2]] == ['A "quoted" caption', 'say "so"']
    assert records[1].image == png_bytes(2)
    assert records[1].concept_names == ("Magnetic Resonance Imaging",)
    assert records[1].modality == "MRI"
    assert records[0].concepts == ("C1",)
    assert [(r.reason, r.detail, r.row_kept) for r in rejected] == [
        ("unknown concept", "C7", True),
        ("unknown concept", "C7", True),
    ]


def test_imageclef_one_split_by_its_own_folder(imageclef):
    records, _ = read(imageclef / "Valid")
    assert [r.split for r in records] == ["validation", "validation"]
    assert records[1].concept_names == ("Magnetic Resonance Imaging",)


def test_imageclef_with_commas_other_columns_and_unpacked_images(tmp_path):
    write(tmp_path / "cui_mapping.csv", "CUI,Canonical name\nC1,one\nC2,two\n")
    with (tmp_path / "train_captions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["ID", "Caption", "CUIs", "Concepts_Name", "Year"])
        table.writerow(["a.png", 'One, "two"\nthree', "C1;C2", "one;two", "2022"])
    write(tmp_path / "train" / "a.png", png_bytes())
    (record,), rejected = read(tmp_path)
    assert rejected == []
    assert record.id == "a"
    assert record.caption == 'One, "two"\nthree'
    assert record.concept_names == ("one", "two")
    assert record.extra == {"year": "2022"}
    assert record.image == png_bytes()


def test_imageclef_without_images_is_text_only(imageclef):
    for archive in imageclef.rglob("*.zip"):
        archive.unlink()
    records, rejected = read(imageclef)
    assert [r.image for r in records] == [None] * 4
    assert {str(r.reason) for r in rejected} == {"unknown concept"}


@pytest.mark.parametrize("separator", [";", "|"])
def test_a_table_with_another_separator(imageclef, separator):
    table = imageclef / "Train" / "caption_prediction_train.csv"
    write(table, f"ID{separator}caption\na{separator}b\n")
    records, _ = read(imageclef)
    assert {r.split for r in records} == {"validation"}  # the row names no image; see its reason


def test_rows_of_a_wrong_length_are_rejected_by_line(imageclef):
    write(
        imageclef / "Train" / "caption_prediction_train.csv",
        "ID\tcaption\ntrain_1\tone\textra\ntrain_2\n\ntrain_2\tgood\n",
    )
    records, rejected = read(imageclef / "Train")
    assert [r.id for r in records] == ["train_2"]
    malformed = [(r.line, r.id) for r in rejected if r.reason == "malformed row"]
    assert malformed == [(2, "train_1"), (3, "train_2")]


@pytest.mark.parametrize(
    "name", ["../../train_1.png", "/etc/train_1.png", "C:\\train_1.png", "a\\..\\train_1.png"]
)
def test_a_path_out_of_the_archive_is_refused(imageclef, name, tmp_path):
    archive = imageclef / "Train" / "resized_train.zip"
    zipped(archive, {name: png_bytes(), "x/train_2.png": png_bytes()})
    before = sorted(tmp_path.rglob("*"))
    records, rejected = read(imageclef / "Train")
    assert [r.id for r in records] == ["train_2"]
    assert ("unsafe path", "train_1") in reasons(rejected)
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked anywhere


def test_a_symbolic_link_in_the_archive_is_refused(imageclef):
    archive = imageclef / "Train" / "resized_train.zip"
    with zipfile.ZipFile(archive, "w") as file:
        link = zipfile.ZipInfo("train_1.png")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    assert ("unsafe path", "train_1") in reasons(read(imageclef / "Train")[1])


def test_a_bomb_is_not_unpacked(imageclef):
    archive = imageclef / "Train" / "resized_train.zip"
    zipped(archive, {"train_1.png": bytes(8 << 20), "train_2.png": png_bytes()})
    records, rejected = read(imageclef / "Train")
    assert [r.id for r in records] == ["train_2"]
    bomb = next(r for r in rejected if r.id == "train_1" and not r.row_kept)
    assert "would unpack from" in bomb.detail


def test_a_member_that_understates_its_size_is_not_read_to_its_end(imageclef):
    archive = zipped(imageclef / "Train" / "resized_train.zip", {"train_1.png": bytes(100_000)})
    data = archive.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive.write_bytes(data)
    assert ("unusable image", "train_1") in reasons(read(imageclef / "Train")[1])


def test_a_damaged_member_costs_its_row_only(imageclef):
    archive = imageclef / "Train" / "resized_train.zip"
    noise = zlib.compress(bytes(range(256)) * 40)
    zipped(archive, {"train_1.png": noise, "train_2.png": png_bytes()})
    data = bytearray(archive.read_bytes())
    data[60:80] = bytes(20)
    archive.write_bytes(data)
    records, rejected = read(imageclef / "Train")
    assert [r.id for r in records] == ["train_2"]
    assert ("unusable image", "train_1") in reasons(rejected)


def test_a_truncated_archive(imageclef):
    archive = imageclef / "Train" / "resized_train.zip"
    archive.write_bytes(archive.read_bytes()[:150])
    with pytest.raises(CorpusError, match=r"resized_train.zip is not a complete zip archive"):
        read(imageclef)


def test_images_and_concepts_that_no_row_asks_for_are_written_down(imageclef):
    write(imageclef / "Train" / "caption_prediction_train.csv", "ID\tcaption\ntrain_1\tone\n")
    _, rejected = read(imageclef / "Train")
    assert reasons(rejected)[1:] == [
        ("no caption with this id", "train_2"),
        ("image without a row", "train_2"),
    ]


def test_a_row_without_its_image_is_rejected(imageclef):
    zipped(imageclef / "Train" / "resized_train.zip", {"train_2.png": png_bytes()})
    assert ("missing image", "train_1") in reasons(read(imageclef / "Train")[1])


# --- ImageFolder -----------------------------------------------------------------------------


@pytest.fixture
def imagefolder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    for split in ("train", "test"):
        write(root / split / "images" / "1.png", png_bytes())
        line = {
            "file_name": "images/1.png",
            "caption": "one",
            "case_id": f"case-{split}",
            "modality": "CT",
            "licence": "own",
            "region": "head",
            "cuis": "C1;C2",
            "age": 7,
        }
        write(root / split / "metadata.jsonl", json.dumps(line) + "\n")
    return root


def test_imagefolder(imagefolder):
    records, rejected = read(imagefolder)
    assert rejected == []
    # The same file name in two splits makes two ids.
    assert [(r.id, r.split) for r in records] == [("1", "train"), ("test/1", "test")]
    first = records[0]
    assert (first.group_id, first.group_kind) == ("case-train", "case")
    assert (first.modality, first.licence, first.concepts) == ("CT", "own", ("C1", "C2"))
    assert first.extra == {"region": "head", "age": 7}
    assert first.source == "folder"


def test_imagefolder_with_csv(imagefolder):
    (imagefolder / "train" / "metadata.jsonl").unlink()
    write(
        imagefolder / "train" / "metadata.csv",
        'file_name,text,patient_id\nimages/1.png,"a, b",p1\n',
    )
    records, _ = read(imagefolder)
    assert (records[0].caption, records[0].group_id) == ("a, b", "p1")


def test_imagefolder_rows_that_cannot_be_used(imagefolder, tmp_path):
    write(tmp_path / "secret.png", png_bytes())
    (imagefolder / "train" / "link.png").symlink_to(tmp_path / "secret.png")
    lines = [
        '{"file_name": "images/1.png", "caption": "fine"}',
        '{"file_name": "images/1.png"',
        '["file_name"]',
        '{"caption": "no file"}',
        '{"file_name": "../../secret.png", "caption": "up"}',
        '{"file_name": "/etc/passwd", "caption": "absolute"}',
        '{"file_name": "link.png", "caption": "link"}',
        '{"file_name": "gone.png", "caption": "gone"}',
    ]
    write(imagefolder / "train" / "metadata.jsonl", "\n".join(lines))
    records, rejected = read(imagefolder / "train")
    assert [r.caption for r in records] == ["fine"]
    assert [(r.line, str(r.reason)) for r in rejected] == [
        (2, "malformed row"),
        (3, "malformed row"),
        (4, "missing image"),
        (5, "unsafe path"),
        (6, "unsafe path"),
        (7, "unsafe path"),
        (8, "missing image"),
    ]


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b.png", "a\ud800.png", "x" * 300 + ".png"])
def test_imagefolder_with_a_name_that_no_file_has(imagefolder, name):
    write(imagefolder / "train" / "metadata.jsonl", json.dumps({"file_name": name, "caption": "c"}))
    records, rejected = read(imagefolder / "train")
    assert records == []
    assert rejected[0].line == 1
    assert rejected[0].reason in {"malformed row", "missing image", "unsafe path"}


def test_imagefolder_with_images_that_no_row_asks_for(imagefolder):
    write(imagefolder / "train" / "deep" / "2.png", png_bytes())
    write(imagefolder / "test" / "metadata.jsonl", "{")
    _, rejected = read(imagefolder)
    assert [(r.file, str(r.reason), r.id) for r in rejected] == [
        ("test/metadata.jsonl", "malformed row", ""),
        ("test/images/1.png", "image without a row", "1"),
        ("train/deep/2.png", "image without a row", "2"),
    ]


def one_row(folder: Path, **values: object) -> tuple[list[Record], list[Rejection]]:
    write(folder / "1.png", png_bytes())
    write(folder / "metadata.jsonl", json.dumps({"file_name": "1.png", **values}))
    return read(folder)


@pytest.mark.parametrize(
    ("values", "caption"),
    [
        ({"caption": ["one", None, "two"]}, "one two"),
        ({"caption": "", "text": "from text", "description": "left"}, "from text"),
        ({"caption": 3.5}, "3.5"),
    ],
)
def test_captions_from_what_is_there(tmp_path, values, caption):
    (record,), rejected = one_row(tmp_path, **values)
    assert record.caption == caption
    assert rejected == []


@pytest.mark.parametrize("wrong", [{"en": "x"}, True, ["one", {"en": "x"}]])
@pytest.mark.parametrize("column", ["caption", "concepts"])
def test_columns_of_another_kind_are_rejected(tmp_path, column, wrong):
    records, rejected = one_row(tmp_path, **({"caption": "c"} | {column: wrong}))
    assert records == []
    assert [str(r.reason) for r in rejected] == ["malformed row"]
    assert rejected[0].detail.startswith(f"{column} is a ")


@pytest.mark.parametrize("value", [5, 5.0, "5", [5]])
def test_a_number_is_a_concept(tmp_path, value):
    (record,), _ = one_row(tmp_path, caption="c", concepts=value)
    assert record.concepts == ("5",)


def test_extra_is_json_and_split_and_patient_are_understood(tmp_path):
    (record,), _ = one_row(
        tmp_path, caption="c", score=float("inf"), split="Testing", case_id="k", patient_id=7.0
    )
    assert record.extra == {"score": "inf", "patient_id": 7.0}
    assert (record.split, record.group_id) == ("test", "k")
    assert record.group_keys == ("case:k", "patient:7")


def test_two_columns_of_one_name(tmp_path):
    (record,), _ = one_row(tmp_path, caption="c", Note="x", note="y")
    assert record.extra == {"note": "x", "note_2": "y"}
    (tmp_path / "metadata.jsonl").unlink()
    write(tmp_path / "1.png", png_bytes())
    metadata = write(tmp_path / "metadata.csv", "file_name,caption,note,note\n1.png,c,x,y\n")
    (record,), _ = read(tmp_path)
    assert record.extra == {"note": "x", "note_2": "y"}
    metadata.write_text("file_name,caption,file_name\n1.png,c,2.png\n")
    with pytest.raises(CorpusError, match="2 columns named file_name: rename all but one"):
        read(tmp_path)


# --- Parquet ---------------------------------------------------------------------------------


def test_a_corpus_is_a_source(phantom_corpus):
    records, rejected = read(phantom_corpus.path)
    assert records == list(phantom_corpus.records())
    assert rejected == []


def test_any_parquet_with_images_and_captions(tmp_path):
    rows = {
        "image": [
            {"bytes": png_bytes(), "path": "a.png"},
            {"bytes": None, "path": "../x.png"},
            None,
        ],
        "text": ["one", "two", "three"],
        "score": [0.5, None, 1.0],
    }
    pq.write_table(pa.table(rows), tmp_path / "validation-00000-of-00001.parquet")
    records, rejected = read(tmp_path)
    assert [(r.caption, r.image) for r in records] == [("one", png_bytes()), ("three", None)]
    assert records[0].split == "validation"
    assert records[0].extra == {"score": 0.5}
    assert [(r.line, str(r.reason)) for r in rejected] == [(2, "unsafe path")]


def test_parquet_that_is_none_or_has_no_captions(tmp_path):
    path = write(tmp_path / "a.parquet", b"PAR1 nonsense")
    with pytest.raises(CorpusError, match="is not a complete Parquet file"):
        read(path)
    pq.write_table(pa.table({"label": [1]}), path)
    with pytest.raises(CorpusError, match="has no caption column"):
        read(path)


@pytest.mark.parametrize("name", ["u.zip", "u.parquet"])
def test_a_pipe_in_the_folder_is_told_and_not_waited_for(tmp_path, name):
    (tmp_path / "0.png").write_bytes(png_bytes(1))
    (tmp_path / "t.csv").write_text("image,caption\n0.png,lesion\n")
    os.mkfifo(tmp_path / name)
    with pytest.raises(CorpusError, match="is a pipe or a device, not a file"):
        list(open_source(tmp_path))


@pytest.mark.parametrize("name", ["u.csv", "u.jsonl", "f.png"])
def test_a_pipe_beside_a_table_is_not_waited_for(tmp_path, name):
    (tmp_path / "0.png").write_bytes(png_bytes(1))
    (tmp_path / "t.csv").write_text("image,caption\n0.png,lesion\n")
    os.mkfifo(tmp_path / name)
    signal.alarm(20)  # ends the process: better than a test run that never ends
    try:
        records, _ = read(tmp_path)
    finally:
        signal.alarm(0)
    assert [record.caption for record in records] == ["lesion"]
