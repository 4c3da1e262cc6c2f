"""Tables as people bring them: what is recognised, what the user may say, what is told."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import CorpusError, Record, Rejection
from ingest.sources import open_source
from ingest.sources.columns import Reading
from rocosearch.cli import app

from .conftest import png_bytes


def write(path: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names, 1):
        write(folder / name, png_bytes(number))


def read(path: Path, layout: str = "auto", **reading: object):
    rows = list(open_source(path, layout, Reading(**reading)))
    rejected = [row for row in rows if isinstance(row, Rejection)]
    return [row for row in rows if isinstance(row, Record)], rejected


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_separator_and_encoding_are_recognised(tmp_path, separator, encoding):
    rows = ["Bild{0}Befund", "a.png{0}Größe 3 mm, Höhe normal", "b.png{0}Lunge frei"]
    text = "\n".join(row.format(separator) for row in rows) + "\n"
    if separator == ",":
        text = text.replace("Größe 3 mm, Höhe normal", '"Größe 3 mm, Höhe normal"')
    write(tmp_path / "t.csv", text, encoding)
    images(tmp_path, "a.png", "b.png")
    records, rejected = read(tmp_path)
    assert [(r.id, r.caption) for r in records] == [
        ("a", "Größe 3 mm, Höhe normal"),
        ("b", "Lunge frei"),
    ]
    assert records[1].image == png_bytes(2)
    assert rejected == []


def test_stems_in_subfolders_are_found_where_they_are_unique(tmp_path):
    images(tmp_path, "train/a0bc.jpg", "test/deep/b1.png", "one/c.png", "two/c.png")
    write(tmp_path / "t.csv", "image_id;report\na0bc;first\nB1.PNG;second\nc;third\n")
    records, rejected = read(tmp_path)
    assert [(r.id, r.image_path, r.split) for r in records] == [
        ("a0bc", "train/a0bc.jpg", "train"),
        ("B1", "test/deep/b1.png", "test"),
    ]
    assert "2 files are named 'c' (one/c.png, two/c.png): give the path" in rejected[0].detail
    write(tmp_path / "t.csv", "image_id;report\n/data/x/two/c.png;from another machine\n")
    (record,), _ = read(tmp_path)
    assert record.image_path == "two/c.png"


def test_a_path_that_leads_out_is_refused_even_if_a_file_inside_has_its_name(tmp_path):
    images(tmp_path, "deep/a.png", "b.png")
    write(tmp_path / "deep" / "t.csv", "file,caption\n../../a.png,out\n../b.png,inside\n")
    records, rejected = read(tmp_path)
    assert [(r.caption, r.image_path) for r in records] == [("inside", "b.png")]
    assert str(rejected[0].reason) == "unsafe path"


def test_a_line_that_names_the_separator_is_no_part_of_the_table(tmp_path):
    images(tmp_path, "a.png")
    write(tmp_path / "t.csv", "sep=;\r\nfile;caption\r\na.png;one, two\r\n")
    (record,), rejected = read(tmp_path)
    assert (record.caption, record.line, rejected) == ("one, two", 3, [])


def test_columns_of_unknown_names_are_told_by_their_values(tmp_path):
    images(tmp_path, "p1.png", "p2.png")
    rows = "1;p1;x;keine frische Fraktur\n2;p2;y;Fraktur distal, wenig verschoben\n"
    write(tmp_path / "t.csv", "Nr;Aufnahme;Klasse;Beurteilung\n" + rows)
    source = open_source(tmp_path)
    (first, second) = [row for row in source if isinstance(row, Record)]
    assert (first.id, first.caption, first.image) == ("p1", "keine frische Fraktur", png_bytes(1))
    assert second.extra == {"nr": "2", "klasse": "y"}
    assert source.recognised == (
        "t.csv (semicolons, UTF-8): captions from Beurteilung, images from Aufnahme"
    )


def test_a_column_of_groups_is_told(tmp_path):
    images(tmp_path, "p1.png")
    write(tmp_path / "t.csv", "Bild;Befund;PatientenID;Split\np1;keine frische Fraktur;7;dev\n")
    source = open_source(tmp_path)
    (record,) = [row for row in source if isinstance(row, Record)]
    assert (record.group_id, record.subject_id, record.split) == ("7", "7", "validation")
    assert source.recognised.endswith(
        "images from Bild, groups from PatientenID, splits from Split"
    )


def test_a_column_with_words_for_splits_alone_holds_them(tmp_path):
    images(tmp_path, "p1.png", "p2.png")
    rows = "p1|one two three|{}|3\np2|four five six|training|4\n"
    write(tmp_path / "t.txt", "file|report|set|num_patient\n" + rows.format("dev"))
    records, _ = read(tmp_path)
    assert [(r.split, r.subject_id) for r in records] == [("validation", "3"), ("train", "4")]
    write(tmp_path / "t.txt", "file|report|set|num_patient\n" + rows.format("blue"))
    records, _ = read(tmp_path)
    assert [(r.split, r.extra["set"]) for r in records] == [("", "blue"), ("", "training")]


def test_what_the_user_says_of_columns_holds(tmp_path):
    images(tmp_path, "p1.png", "p2.png")
    rows = "no,p1,Lunge frei.,Normal.,f1,dev\nno,p2,Erguss.,,f1,training\n"
    write(tmp_path / "t.csv", "caption,pic,Befund,Beurteilung,fall,teil\n" + rows)
    said = {"image": "pic", "captions": ("Befund", "Beurteilung"), "group": "fall", "split": "teil"}
    records, _ = read(tmp_path, **said)
    assert [r.caption for r in records] == ["Lunge frei. Normal.", "Erguss."]
    assert [(r.group_id, r.group_kind, r.split) for r in records] == [
        ("f1", "case", "validation"),
        ("f1", "case", "train"),
    ]
    with pytest.raises(CorpusError, match=r"no column 'foo' \(--caption-column\); its columns are"):
        read(tmp_path, captions=("foo",))
    with pytest.raises(CorpusError, match="There is no encoding 'foo'"):
        read(tmp_path / "t.csv", encoding="foo")


def test_a_table_without_captions_lists_its_columns_and_the_names_that_count(tmp_path):
    images(tmp_path, "a.png")
    write(tmp_path / "t.csv", "file;label\na.png;7\n")
    with pytest.raises(
        CorpusError, match=r"t.csv has no caption column; its columns are file, label."
    ) as error:
        read(tmp_path)
    assert "--caption-column, or call it caption, captions, text" in str(error.value) or (
        "--caption-column, or call it caption, text" in str(error.value)
    )


def test_images_without_any_table_say_so(tmp_path):
    images(tmp_path, "a.png")
    with pytest.raises(CorpusError, match="has 1 images but no captions: put a table beside"):
        read(tmp_path)


JSON_FORMS = {
    "list": [{"image": "a.png", "text": "one"}, {"image": "b.png", "text": "two"}],
    "by split": {
        "train": [{"image": "a.png", "text": "one"}],
        "val": [{"image": "b.png", "text": "two"}],
    },
    "by id": {"a": "one", "b": "two"},
    "by column": {"image": {"0": "a.png", "1": "b.png"}, "text": {"0": "one", "1": "two"}},
    "wrapped": {"data": [{"image": "a.png", "text": "one"}, {"image": "b.png", "text": "two"}]},
    "coco": {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 2, "caption": "two"},
            {"id": 2, "image_id": 1, "caption": "one"},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_in_its_usual_forms(tmp_path, form):
    images(tmp_path / "pictures", "a.png", "b.png")
    write(tmp_path / "captions.json", json.dumps(JSON_FORMS[form]))
    records, rejected = read(tmp_path)
    assert [(r.caption, r.image) for r in records] == [("one", png_bytes(1)), ("two", png_bytes(2))]
    assert rejected == []
    if form == "by split":
        assert [r.split for r in records] == ["train", "validation"]


def test_several_coco_captions_of_an_image_are_joined(tmp_path):
    images(tmp_path, "a.png")
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "caption": c} for c in ("A chest.", "A thorax.")],
    }
    write(tmp_path / "captions_train2017.json", json.dumps(coco))
    (record,), _ = read(tmp_path)
    assert (record.caption, record.split) == ("A chest. A thorax.", "train")


def test_a_list_of_images_makes_a_record_of_each(tmp_path):
    images(tmp_path, "x/0.png", "x/1.png")
    write(
        tmp_path / "t.json",
        json.dumps([{"id": "s1", "images": ["x/0.png", "x/1.png"], "report": "both views"}]),
    )
    records, _ = read(tmp_path)
    assert [(r.id, r.caption, r.group_id) for r in records] == [
        ("s1", "both views", "s1"),
        ("x/1", "both views", "s1"),
    ]


def test_what_datasets_saved_to_disk(tmp_path):
    rows = {
        "image": [{"bytes": png_bytes(n), "path": None} for n in (1, 2)],
        "text": ["one", "two"],
    }
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    made = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(tmp_path / "d")
    records, rejected = read(tmp_path / "d")
    assert {(r.caption, r.image, r.split) for r in records} == {
        ("one", png_bytes(1), "train"),
        ("two", png_bytes(2), "train"),
        ("two", png_bytes(2), "test"),
    }
    assert rejected == []
    assert write_corpus(open_source(tmp_path / "d"), tmp_path / "out").manifest.records == 3


def test_a_text_file_beside_each_image(tmp_path):
    images(tmp_path, "train/a.png", "test/b.png", "test/c.png")
    write(tmp_path / "train" / "a.txt", "Größe\nnormal", "cp1252")
    write(tmp_path / "test" / "b.txt", "second")
    records, rejected = read(tmp_path)
    assert [(r.id, r.caption, r.split) for r in records] == [
        ("test/b", "second", "test"),
        ("train/a", "Größe normal", "train"),
    ]
    assert [(r.file, str(r.reason)) for r in rejected] == [("test/c.png", "image without a row")]


def test_bytes_of_further_columns_are_no_text(tmp_path):
    rows = {
        "image": [{"bytes": png_bytes(1), "path": "a.png"}],
        "mask": [{"bytes": png_bytes(2), "path": "m.png"}],
        "raw": [b"\x00\xff"],
        "caption": ["one"],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    (record,), _ = read(tmp_path)
    assert record.image == png_bytes(1)
    assert record.extra == {}


def test_a_value_nested_too_deep_costs_its_row_only(tmp_path):
    images(tmp_path, "a.png", "b.png")
    deep = "[" * 900 + "]" * 900
    lines = f'{{"file_name": "a.png", "caption": "c", "x": {deep}}}\n'
    write(tmp_path / "metadata.jsonl", lines + '{"file_name": "b.png", "caption": "d"}\n')
    corpus = write_corpus(open_source(tmp_path), tmp_path.with_name("out"))
    assert corpus.manifest.records == 1
    (row,) = corpus.rejected().to_pylist()
    assert (row["reason"], row["detail"]) == (
        "malformed row",
        "a value is nested more than 64 deep",
    )


# --- official names --------------------------------------------------------------------------


def test_imageclef_2023(tmp_path):
    name = "ImageCLEFmedical_Caption_2023"
    ids = [f"{name}_{split}_00000{n}" for split in ("train", "valid") for n in (1, 2)]
    for split in ("train", "valid"):
        own = [i for i in ids if f"_{split}_" in i]
        captions = "ID\tcaption\n" + "".join(f"{i}\tcaption of {i}\n" for i in own)
        write(tmp_path / f"{name}_caption_prediction_{split}_labels.csv", captions)
        concepts = "ID\tcuis\n" + "".join(f"{i}\tC0040405;C0817096\n" for i in own)
        write(tmp_path / f"{name}_concept_detection_{split}_labels.csv", concepts)
        with zipfile.ZipFile(tmp_path / f"{name}_{split}_images.zip", "w") as archive:
            for i in own:
                archive.writestr(f"{split}/{i}.jpg", png_bytes(int(i[-1])))
    write(tmp_path / f"{name}_cui_mapping.csv", "C0040405\tCT\nC0817096\tChest\n")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [r.id for r in records] == ids
    assert [r.split for r in records] == ["train", "train", "validation", "validation"]
    assert {(r.concepts, r.concept_names, r.modality) for r in records} == {
        (("C0040405", "C0817096"), ("CT", "Chest"), "CT")
    }


def test_imageclef_2022_with_its_download_prefixes(tmp_path):
    for split in ("train", "valid"):
        stem = f"46bff9d5-95d4_ImageCLEFmedCaption_2022_{{}}_{split}.csv"
        ident = f"ImageCLEFmedCaption_2022_{split}_000001"
        write(tmp_path / stem.format("caption_prediction"), f"ID\tcaption\n{ident}\tone\n")
        write(tmp_path / stem.format("concept_detection"), f"ID\tcuis\n{ident}\tC0024485\n")
        images(tmp_path / f"ImageCLEFmedCaption_2022_{split}_images" / split, f"{ident}.jpg")
    write(
        tmp_path / "ImageCLEFmedCaption_2022_concepts.csv", "concept\tconcept_name\nC0024485\tMR\n"
    )
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.split, r.concept_names, r.modality) for r in records] == [
        ("train", ("MR",), "MRI"),
        ("validation", ("MR",), "MRI"),
    ]


def test_text_in_parquet_that_is_no_utf8_costs_its_row_alone(tmp_path):
    column = pa.array([b"fine", b"bro\x94ken", b"fine too"]).cast(pa.binary()).view(pa.string())
    table = pa.table({"image": [png_bytes(n, side=5 + n) for n in range(3)], "caption": column})
    pq.write_table(table, tmp_path / "table.parquet")
    corpus = write_corpus(open_source(tmp_path), tmp_path / "out")
    assert [record.caption for record in corpus.records()] == ["fine", "fine too"]
    assert sum(corpus.manifest.rejected.values()) == 1


def test_a_text_file_that_ends_in_half_a_character_stops_nothing(tmp_path):
    images(tmp_path, "im0.png", "im1.png")
    (tmp_path / "im0.txt").write_bytes("caption".encode("utf-16") + b"\0")
    (tmp_path / "im1.txt").write_bytes(b"another")
    records, rejected = read(tmp_path)
    assert [(r.id, r.caption.rstrip("\ufffd")) for r in records] == [
        ("im0", "caption"),
        ("im1", "another"),
    ]
    assert rejected == []


def test_imageclef_2021_without_headers(tmp_path):
    write(
        tmp_path / "Caption_Training_2021_Captions.txt",
        "pic100\tfirst, with a comma\npic200\tsecond\n",
    )
    write(
        tmp_path / "Caption_Training_2021_Concepts.csv",
        "pic100\tC0040405;C0817096\npic200\tC0024485\n",
    )
    images(tmp_path / "Training_Images", "pic100.jpg", "pic200.jpg")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.concepts, r.split) for r in records] == [
        ("pic100", "first, with a comma", ("C0040405", "C0817096"), "train"),
        ("pic200", "second", ("C0024485",), "train"),
    ]


@pytest.mark.parametrize(("mark", "quote"), [("\t", ""), (",", '"')])
def test_imageclef_2021_as_two_subtasks_have_it(tmp_path, mark, quote):
    """Names of the concepts' files as participants' code has them; the captions' by analogy."""
    for split, numbers in (("Training", (1, 2)), ("Validation", (3, 4))):
        concepts = tmp_path / f"ImageCLEF2021_ConceptDetection_{split}-Set"
        captions = tmp_path / f"ImageCLEF2021_CaptionPrediction_{split}-Set"
        cuis = [f"pic{n}{mark}C0040405;C0817096\n" for n in numbers]
        texts = [f"pic{n}{mark}{quote}of {split}, with a comma{quote}\n" for n in numbers]
        write(concepts / f"{split}_Set_Concepts.csv", "".join(cuis))
        write(captions / f"{split}_Set_Captions.csv", "".join(texts))
        images(concepts / f"{split}-Images", *(f"pic{n}.jpg" for n in numbers))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.split) for r in records] == [
        ("pic1", "of Training, with a comma", "train"),
        ("pic2", "of Training, with a comma", "train"),
        ("pic3", "of Validation, with a comma", "validation"),
        ("pic4", "of Validation, with a comma", "validation"),
    ]
    assert {record.concepts for record in records} == {("C0040405", "C0817096")}
    assert all(record.image for record in records)


def test_imageclef_2026_whose_ids_tell_the_splits(tmp_path):
    stem = "ImageCLEFmedical_Caption_2026"
    ids = [f"{stem}_train_1", f"{stem}_valid_0"]
    write(
        tmp_path / "dev_caption" / "captions.csv",
        "ID,Caption\n" + "".join(f'{i},"of {i}"\n' for i in ids),
    )
    images(tmp_path / "dev_caption" / "images", *(f"{i}.jpg" for i in ids))
    for split, own in (("train", ids[0]), ("valid", ids[1])):
        table = f"ID,CUIs\n{own},C0040405\n"
        write(tmp_path / "manuel_concepts" / f"{split}_concepts_manual.csv", table)
    write(tmp_path / "cui_to_name_2026.csv", "CUI,Name\nC0040405,X-Ray Computed Tomography\n")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.split) for r in records] == [(ids[0], "train"), (ids[1], "validation")]


def test_rocov2_as_zenodo_has_it(tmp_path):
    for split in ("train", "valid", "test"):
        ident = f"ROCOv2_2023_{split}_000001"
        write(tmp_path / f"{split}_captions.csv", f"ID,Caption\n{ident},Head CT.\n")
        write(tmp_path / f"{split}_concepts.csv", f"ID,CUIs\n{ident},C0040405;C0018670\n")
        write(tmp_path / f"{split}_concepts_manual.csv", f"ID,CUIs\n{ident},C0040405\n")
        with zipfile.ZipFile(tmp_path / f"{split}_images.zip", "w") as archive:
            archive.writestr(f"{split}/{ident}.jpg", png_bytes())
    write(tmp_path / "cui_mapping.csv", "CUI,Canonical name\nC0040405,CT\nC0018670,Head\n")
    rows = [
        f"ROCOv2_2023_{s}_000001,CC BY [Roe et al. (2020)],https://x/PMC7{n}/\n"
        for n, s in enumerate(("train", "valid", "test"))
    ]
    write(tmp_path / "license_information.csv", "ID,Attribution,Link\n" + "".join(rows))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [r.split for r in records] == ["train", "validation", "test"]
    first = records[0]
    assert (first.group_id, first.group_kind, first.licence) == ("PMC70", "article", "CC BY")
    assert (first.concepts, first.modality, first.source) == (
        ("C0040405", "C0018670"),
        "CT",
        "ROCOv2",
    )
    assert first.extra["manual_concepts"] == "C0040405"


def test_rocov2_as_hugging_face_has_it(tmp_path):
    for split in ("train", "validation"):
        rows = {
            "image": [{"bytes": png_bytes(1), "path": None}],
            "image_id": [f"ROCOv2_2023_{split[:5]}_000001"],
            "caption": ["Head CT."],
            "cui": [["C0040405", "C0018670"]],
        }
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table(rows), tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.split, r.modality, r.image) for r in records] == [
        ("ROCOv2_2023_train_000001", "train", "CT", png_bytes(1)),
        ("ROCOv2_2023_valid_000001", "validation", "CT", png_bytes(1)),
    ]


@pytest.mark.parametrize("name", ["ROCO_00001.jpg", "PMC42_fig-g001.jpg"])
def test_roco_as_kaggle_and_early_downloads_have_it(tmp_path, name):
    folder = tmp_path / "all_data" / "train" / "radiology"
    write(folder / "captions.txt", "ROCO_00001\tone\n")
    write(folder / "licences.txt", "ROCO_ID,PMC_ID,CC\nROCO_00001,PMC42_fig-g001.jpg,CC BY\n")
    write(
        folder.parent / "radiologytraindata.csv", "id,name,caption\nROCO_00001,ROCO_00001.jpg,one\n"
    )
    images(folder / "images", name)
    (record,), rejected = read(tmp_path)
    assert rejected == []
    assert (record.id, record.image, record.group_id) == ("ROCO_00001", png_bytes(1), "PMC42")


def test_kaggles_table_alone(tmp_path):
    write(tmp_path / "radiologytraindata.csv", "id,name,caption\nROCO_00001,ROCO_00001.jpg,one\n")
    images(tmp_path / "radiology" / "images", "ROCO_00001.jpg")
    (record,), rejected = read(tmp_path)
    assert rejected == []
    assert (record.id, record.split, record.image) == ("ROCO_00001", "train", png_bytes(1))


def test_imagefolder_as_datasets_reads_it(tmp_path):
    root = tmp_path / "root"
    images(root, "train/a.png", "test/b.png", "masks/a.png", "masks/b.png")
    lines = [
        {"file_name": f"{s}/{n}.png", "mask_file_name": f"masks/{n}.png", "text": n}
        for s, n in (("train", "a"), ("test", "b"))
    ]
    write(root / "metadata.jsonl", "\n".join(map(json.dumps, lines)))
    records, rejected = read(root)
    assert rejected == []
    assert [(r.split, r.image, r.extra) for r in records] == [
        ("train", png_bytes(1), {"mask_file_name": "masks/a.png"}),
        ("test", png_bytes(2), {"mask_file_name": "masks/b.png"}),
    ]
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    with zipfile.ZipFile(zipped / "train.zip", "w") as archive:
        archive.writestr("a.png", png_bytes(1))
        archive.writestr("metadata.csv", "file_name,text\na.png,one\n")
    (record,), rejected = read(zipped)
    assert (record.caption, record.image, record.split, rejected) == (
        "one",
        png_bytes(1),
        "train",
        [],
    )
    stored = tmp_path / "stored"
    images(stored, "a.png")
    pq.write_table(pa.table({"file_name": ["a.png"], "text": ["one"]}), stored / "metadata.parquet")
    (record,), rejected = read(stored)
    assert (record.caption, record.image, rejected) == ("one", png_bytes(1), [])


# --- the command -----------------------------------------------------------------------------


def run(*arguments: object):
    return CliRunner().invoke(app, ["corpus", *map(str, arguments)], env={"COLUMNS": "400"})


def some(tmp_path: Path, matching: int, of: int) -> Path:
    names = [f"p{n}.png" if n < matching else f"gone{n}.png" for n in range(of)]
    images(tmp_path / "in", *(f"p{n}.png" for n in range(of)))
    rows = "".join(f"{name};caption {n}\n" for n, name in enumerate(names))
    write(tmp_path / "in" / "t.csv", "file;caption\n" + rows)
    return tmp_path / "in"


def test_less_than_half_matched_is_told_last_and_exits_1(tmp_path):
    source = some(tmp_path, 2, 6)
    result = run(source, tmp_path / "out")
    assert result.exit_code == 1
    assert "Only 2 of 6 captions found their image" in result.output.strip().splitlines()[-1]
    assert "there is p2.png): check --image-column" in result.output
    assert run(source, tmp_path / "out", "--allow-partial").exit_code == 0
    assert run(some(tmp_path / "more", 4, 6), tmp_path / "out2").exit_code == 0


def test_nothing_matched_leaves_the_rejections_and_their_details(tmp_path):
    source = some(tmp_path, 0, 3)
    for _ in range(2):  # the second attempt replaces what the first one left
        result = run(source, tmp_path / "out", "--allow-partial")
        assert result.exit_code == 1
        last = result.output.strip().splitlines()[-1]
        assert "No row of" in last
        assert "missing image (3)" in last
        rows = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
        assert all(row["detail"] for row in rows if row["reason"] == "missing image")
    assert run("phantoms:20", tmp_path / "out").exit_code == 0
    assert "out.rejected.parquet" in run(source, tmp_path / "out").output


def test_splits_are_drawn_or_kept_as_asked(tmp_path):
    images(tmp_path / "in", *(f"p{n}.png" for n in range(30)))
    rows = "".join(f"p{n}.png;caption {n};test\n" for n in range(30))
    write(tmp_path / "in" / "t.csv", "file;caption;split\n" + rows)
    assert "test 30 (splits source)" in run(tmp_path / "in", tmp_path / "a").output
    drawn = run(tmp_path / "in", tmp_path / "b", "--splits", "draw").output
    assert "(splits drawn)" in drawn
    assert "Read as table: t.csv (semicolons, UTF-8): captions from caption" in drawn


def test_names_of_others_are_no_markup(tmp_path):
    source = tmp_path / "[/x]"
    images(source, "p.png")
    write(source / "t.csv", "file,caption,split\np.png,one,[/b]\u202e\n")
    result = run(source, tmp_path / "out[/b]")
    assert result.exit_code == 0, result.output
    assert "[/b]\\u202e 1" in result.output
