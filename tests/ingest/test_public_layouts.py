"""Layouts of public data sets, in small made-up copies: what each shows is read, or told."""

from __future__ import annotations

import gzip
import json
import re
import textwrap
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import CorpusError, Record, Rejection
from ingest.sources import open_source
from ingest.sources.columns import Reading

from .conftest import png_bytes

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    rows = list(rows)
    lines = [list(rows[0]), *(row.values() for row in rows)]
    text = "".join(",".join(f'"{value}"' for value in line) + "\n" for line in lines)
    write(path, gzip.compress(text.encode()) if path.suffix == ".gz" else text)


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names, 1):
        write(folder / name, png_bytes(number))


def read(path: Path, **reading: object) -> tuple[list[Record], list[Rejection]]:
    rows = list(open_source(path, "auto", Reading(**reading)))
    rejected = [row for row in rows if isinstance(row, Rejection)]
    return [row for row in rows if isinstance(row, Record)], rejected


def test_a_table_of_reports_joins_a_table_of_images(tmp_path):  # Indiana's, from Kaggle
    names = ["1_view-1.dcm.png", "1_view-2.dcm.png", "2_view-1.dcm.png"]
    images(tmp_path / "images" / "images_normalized", *names)
    rows = [{"uid": name[0], "filename": name, "projection": "Frontal"} for name in names]
    table(tmp_path / "indiana_projections.csv", rows)
    reports = [
        {"uid": n, "image": "Xray Chest PA", "findings": f"Clear {n}." if n == 1 else "",
         "impression": f"Normal {n}."} for n in (1, 2, 3)
    ]  # fmt: skip
    table(tmp_path / "indiana_reports.csv", reports)
    records, rejected = read(tmp_path)
    assert [(r.caption, r.group_id, r.image) for r in records] == [
        ("Clear 1.", "1", png_bytes(1)),
        ("Clear 1.", "1", png_bytes(2)),
        ("Normal 2.", "2", png_bytes(3)),
    ]
    assert [(r.reason, r.file, r.id) for r in rejected] == [
        ("missing image", "indiana_reports.csv", "3")
    ]
    joined, _ = read(tmp_path, captions=("findings", "impression"))
    assert joined[0].caption == "Clear 1. Normal 1."


def mimic(folder: Path, reports: str) -> None:
    split, labels = [], []
    for patient, study, name in ((19000001, 50000001, "a"), (19000001, 50000002, "b"),
                                 (19000002, 50000003, "c")):  # fmt: skip
        path = f"p10/p{patient}/s{study}"
        images(folder / "files" / path, f"{name}-1.jpg", f"{name}-2.jpg")
        write(folder / reports / f"{path}.txt", f"FINAL REPORT\n\n FINDINGS: {name} is clear.\n")
        ids = {"study_id": study, "subject_id": patient}
        part = "test" if patient == 19000002 else "train"
        split += [{"dicom_id": f"{name}-{n}", **ids, "split": part} for n in (1, 2)]
        labels.append({**ids, "Edema": "1.0"})
    table(folder / "mimic-cxr-2.0.0-split.csv.gz", split)
    table(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", labels)
    table(folder / "mimic-cxr-2.0.0-negbio.csv.gz", labels)
    write(folder / "LICENSE.txt", "the licence\nof these data\n")


@pytest.mark.parametrize("reports", ["files", "mimic-cxr-reports/files"])
def test_reports_of_studies_with_tables_of_splits_and_labels(tmp_path, reports):
    mimic(tmp_path, reports)
    records, rejected = read(tmp_path)
    assert len(records) == 6
    first, last = records[0], records[-1]
    assert (first.caption, first.split) == ("FINAL REPORT FINDINGS: a is clear.", "train")
    assert (first.group_id, first.subject_id) == ("50000001", "19000001")
    assert (last.split, last.extra["edema"]) == ("test", "1.0")
    assert [(r.reason, r.file) for r in rejected] == [
        ("table not used", "mimic-cxr-2.0.0-negbio.csv.gz")
    ]


def test_a_table_of_studies_names_folders_of_images(tmp_path):
    mimic(tmp_path, "gone")
    for text in tmp_path.rglob("gone/**/*.txt"):
        text.unlink()
    rows = [{"study": f"s5000000{n}", "findings": f"It is {n}."} for n in (1, 2, 3)]
    table(tmp_path / "mimic_cxr_sectioned.csv", rows)
    records, _ = read(tmp_path)
    assert [r.caption for r in records] == ["It is 1."] * 2 + ["It is 2."] * 2 + ["It is 3."] * 2
    assert {r.split for r in records[:4]} == {"train"}


def test_a_truncated_gzip_file_is_told(tmp_path):
    mimic(tmp_path, "files")
    path = tmp_path / "mimic-cxr-2.0.0-split.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    records, rejected = read(tmp_path)
    assert {r.subject_id for r in records} == {"p19000001", "p19000002"}  # their folders tell it
    told = next(r.detail for r in rejected if r.file == path.name)
    assert "is not a complete gzip file" in told


def test_paths_tell_patients_studies_and_articles(tmp_path):
    names = [f"train/patient{p:05d}/study{s}/view1.jpg" for p in (1, 2) for s in (1, 2)]
    images(tmp_path / "a", *names)
    table(tmp_path / "a" / "t.csv", [{"path": n, "report": f"Of {n}"} for n in names])
    records, _ = read(tmp_path / "a")
    assert [(r.group_id, r.subject_id) for r in records][1:3] == [
        ("patient00001/study2", "patient00001"),
        ("patient00002/study1", "patient00002"),
    ]
    images(tmp_path / "b", *(f"PMC12345{n // 4}_F{n}.jpg" for n in range(80)))
    lines = [{"image": f"PMC12345{n // 4}_F{n}.jpg", "caption": f"Text {n}"} for n in range(80)]
    write(tmp_path / "b" / "pmc_oa.jsonl", "\n".join(map(json.dumps, lines)))
    source = open_source(tmp_path / "b")
    assert "groups from paths" in source.recognised
    manifest = write_corpus(source, tmp_path / "corpus").manifest
    assert (manifest.groups, manifest.groups_across_splits) == (20, 0)


def test_a_column_of_patients_holds_against_the_path(tmp_path):
    images(tmp_path, "patient1/a.png")
    table(tmp_path / "t.csv", [{"image": "a.png", "caption": "one", "deid_patient_id": "P9"}])
    (record,), _ = read(tmp_path)
    assert (record.subject_id, record.group_id) == ("P9", "P9")


def test_names_and_cells_as_padchest_writes_them(tmp_path):
    images(tmp_path / "0", "7_a.png", "7_b.png")
    row = {"": 0, "ImageID": "7_a.png", "StudyID": 5, "PatientID": 8, "Modality_DICOM": "CR",
           "Report": "sin hallazgos", "labelCUIS": "['C0034069' 'C0742362']"}  # fmt: skip
    table(tmp_path / "p.csv", [row, row | {"": 1, "ImageID": "7_b.png", "labelCUIS": "[]"}])
    records, rejected = read(tmp_path)
    first, second = records
    assert rejected == []
    assert (first.id, first.group_id, first.subject_id) == ("7_a", "5", "8")
    assert (first.concepts, first.modality) == (("C0034069", "C0742362"), "X-ray")
    assert (second.id, second.concepts) == ("7_b", ())
    assert first.extra == {"column_1": "0", "patient_id": "8"}


def test_captions_inside_objects_and_a_table_of_cases(tmp_path):  # MedPix 2.0
    names = ["Q1_p1", "Q1_p2", "Q2_p3"]
    images(tmp_path / "images", *(f"{name}.png" for name in names))
    rows = [
        {"Type": "CT", "U_id": name[:2], "image": name,
         "Description": {"Caption": f"Scan {name}", "Age": "7", "Modality": "CT"}}
        for name in names
    ]  # fmt: skip
    write(tmp_path / "Descriptions.json", json.dumps(rows))
    cases = [{"U_id": u, "TAC": [], "Case": {"Title": f"Case {u}", "Findings": "Many."}}
             for u in ("Q1", "Q2")]  # fmt: skip
    write(tmp_path / "Case_topic.json", json.dumps(cases))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.group_id, r.modality) for r in records] == [
        (name, f"Scan {name}", name[:2], "CT") for name in names
    ]
    assert records[2].extra["title"] == "Case Q2"


def test_openis_json(tmp_path):
    images(tmp_path, "R1_1.png", "R1_2.png")
    found = [
        {"uid": "R1", "image": {"id": f"R1_{n}", "caption": f"View {n}"}, "MeSH": {"major": []}}
        for n in (1, 2)
    ]
    write(tmp_path / "answer.json", json.dumps({"min": 1, "total": 2, "list": found}))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.group_id) for r in records] == [
        ("R1_1", "View 1", "R1"),
        ("R1_2", "View 2", "R1"),
    ]


def test_a_text_and_an_object_beside_each_image(tmp_path):  # unpacked WebDataset shards
    for n in (1, 2):
        images(tmp_path / "0", f"{n}.jpg")
        write(tmp_path / "0" / f"{n}.json", json.dumps({"pmcid": f"PMC{n}", "key": n}))
        write(tmp_path / "0" / f"{n}.txt", f"Caption {n}.")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.caption, r.group_id) for r in records] == [
        ("Caption 1.", "PMC1"),
        ("Caption 2.", "PMC2"),
    ]


def test_texts_in_a_folder_of_their_own_and_one_for_each_case(tmp_path):
    images(tmp_path / "a" / "images", "1.png", "2.png")
    for n in (1, 2, 3):
        write(tmp_path / "a" / "reports" / f"{n}.txt", f"Report, {n}.")
    records, rejected = read(tmp_path / "a")
    assert [r.caption for r in records] == ["Report, 1.", "Report, 2."]
    assert [(r.reason, r.file) for r in rejected] == [("missing image", "reports/3.txt")]
    for n in (1, 2):
        images(tmp_path / "b" / f"case{n}", "ap.png", "lat.png")
        write(tmp_path / "b" / f"case{n}" / "report.txt", f"Report, {n}.")
    records, rejected = read(tmp_path / "b")
    assert rejected == []
    assert [(r.caption, r.group_id) for r in records] == [
        ("Report, 1.", "case1"),
        ("Report, 1.", "case1"),
        ("Report, 2.", "case2"),
        ("Report, 2.", "case2"),
    ]


def test_cases_with_lists_of_captioned_images(tmp_path):
    images(tmp_path, *(f"{case}_{n}.png" for case in "ab" for n in (1, 2)))
    cases = [
        {"id": case, "history": "A long history of it.",
         "images": [{"id": f"{case}{n}", "file": f"{case}_{n}.png", "caption": f"{case} {n}"}
                    for n in (1, 2)]}
        for case in "ab"
    ]  # fmt: skip
    expected = [(f"{case}{n}", f"{case} {n}", case) for case in "ab" for n in (1, 2)]
    for name, text in (
        ("cases.json", json.dumps(cases)),
        ("cases.jsonl", "\n".join(map(json.dumps, cases))),
    ):
        write(tmp_path / name, text)
        records, rejected = read(tmp_path)
        assert rejected == []
        assert [(r.id, r.caption, r.group_id) for r in records] == expected
        (tmp_path / name).unlink()


def test_objects_by_split_and_id(tmp_path):
    images(tmp_path, "1/a.png", "2/a.png")
    found = {
        split: {f"c{n}": {"En_Report": f"Report of {n}.", "Image_path": [f"{n}/a.png"]}}
        for n, split in ((1, "train"), (2, "test"))
    }
    write(tmp_path / "annotation.json", json.dumps(found))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.split) for r in records] == [
        ("c1", "Report of 1.", "train"),
        ("c2", "Report of 2.", "test"),
    ]


def test_numbers_are_no_captions(tmp_path):  # MURA
    images(tmp_path, "patient1/study1_positive/image1.png", "patient2/study1_negative/image1.png")
    write(tmp_path / "l.csv", "patient1/study1_positive/,1\npatient2/study1_negative/,0\n")
    with pytest.raises(CorpusError, match="no caption column; its columns are id, label"):
        read(tmp_path)
    records, _ = read(tmp_path, captions=("label",))
    assert [(r.caption, r.group_id) for r in records] == [
        ("1", "patient1/study1_positive"),
        ("0", "patient2/study1_negative"),
    ]


def test_a_table_that_describes_the_fields_is_no_table_of_captions(tmp_path):
    images(tmp_path, "a.png")
    table(tmp_path / "captions.csv", [{"file": "a.png", "caption": "A chest."}])
    table(tmp_path / "codebook.csv", [{"field": "caption", "description": "The figure's text."}])
    (record,), rejected = read(tmp_path)
    assert record.caption == "A chest."
    assert [(r.reason, r.file) for r in rejected] == [("table not used", "codebook.csv")]


def test_the_report_of_a_single_study(tmp_path):
    images(tmp_path, "case1/ap.png", "case1/lat.png")
    write(tmp_path / "case1" / "report.txt", "Heart normal, lungs clear.")
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [r.caption for r in records] == ["Heart normal, lungs clear."] * 2


def test_stems_of_files_with_capital_endings(tmp_path):
    images(tmp_path, "IM/Röntgen_1.JPEG")
    write(tmp_path / "Liste.CSV", "BildName;Befund\nröntgen_1;Lunge frei.\n")
    (record,), _ = read(tmp_path)
    assert record.image_path == "IM/Röntgen_1.JPEG"


def test_objects_beside_a_caption_stay_what_they_are(tmp_path):
    images(tmp_path, "a.png")
    row = {"file_name": "a.png", "caption": "one", "license": {"id": 1, "description": "a b c"}}
    write(tmp_path / "t.json", json.dumps([row]))
    (record,), _ = read(tmp_path)
    assert (record.id, record.extra) == ("a", {"license": row["license"]})


def test_tables_of_splits_and_patients_join_the_captions(tmp_path):
    images(tmp_path, *(f"{n}.png" for n in range(4)))
    rows = [{"image": f"{n}.png", "caption": f"Of {n}", "PatientID": f"p{n}"} for n in range(4)]
    table(tmp_path / "captions.csv", rows)
    table(tmp_path / "patients.csv", [{"PatientID": f"p{n}", "Sex": "F"} for n in range(4)])
    for split, part in (("train", rows[:3]), ("test", rows[3:])):
        table(tmp_path / f"{split}.csv", [{"image": r["image"], "label": 1} for r in part])
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [r.split for r in records] == ["train", "train", "train", "test"]
    assert records[0].extra["sex"] == "F"


def test_a_sheet_beside_a_table_is_told(tmp_path):
    images(tmp_path, "a.png")
    table(tmp_path / "t.csv", [{"image": "a.png", "caption": "one"}])
    write(tmp_path / "dictionary.xlsx", b"PK")
    _, rejected = read(tmp_path)
    assert [(r.reason, r.file) for r in rejected] == [("table not used", "dictionary.xlsx")]


def test_what_lies_unread_beside_a_table_is_told(tmp_path):
    images(tmp_path, "a.png", "b.png")
    table(tmp_path / "captions.csv", [{"file_name": f"{n}.png", "caption": n * 9} for n in "ab"])
    for name in ("more.tar", "1.xml", "2.xml"):
        write(tmp_path / name, b"...")
    told = open_source(tmp_path, "auto", Reading()).recognised
    assert told.endswith(
        "; not read: 2 .xml (make a table: Recipes in docs/corpus.md); 1 .tar "
        "(unpack with `tar -xf`)"
    )


def test_a_text_that_lists_images_is_a_table(tmp_path):
    for split in ("train", "test"):
        images(tmp_path / split, f"{split}1.png", f"{split}2.png")
        lines = "".join(f"{split}{n}.png\tOne of {n}\n" for n in (1, 2))
        write(tmp_path / f"{split}.txt", f"image\tcaption\n{lines}")
    records, _ = read(tmp_path)
    assert [(r.id, r.caption, r.split) for r in records] == [
        (f"{split}{n}", f"One of {n}", split) for split in ("train", "test") for n in (1, 2)
    ]


def test_lists_of_images_by_split(tmp_path):  # ChestX-ray14
    names = [f"0000000{n}_000.png" for n in range(4)]
    images(tmp_path / "images", *names)
    rows = [{"Image Index": name, "Finding Labels": "Hernia", "Patient ID": 1} for name in names]
    table(tmp_path / "Data_Entry_2017.csv", rows)
    write(tmp_path / "train_val_list.txt", "\n".join(names[:3]))
    write(tmp_path / "test_list.txt", "\n".join(names[3:]))
    with pytest.raises(CorpusError, match="Name one with --caption-column"):
        read(tmp_path)
    records, rejected = read(tmp_path, captions=("Finding Labels",))
    assert rejected == []
    assert [r.split for r in records] == ["train", "train", "train", "test"]


def test_questions_are_no_captions(tmp_path):
    images(tmp_path, "p1.jpg")
    rows = [{"qid": n, "image_name": "p1.jpg", "question": f"What is in region {n}?",
             "answer": n} for n in (1, 2)]  # fmt: skip
    write(tmp_path / "VQA_RAD Dataset Public.json", json.dumps(rows))
    with pytest.raises(CorpusError, match="--caption-column question --caption-column answer"):
        read(tmp_path)
    records, rejected = read(tmp_path, captions=("question", "answer"))
    assert [(r.id, r.caption) for r in records] == [
        ("1", "What is in region 1? 1"),
        ("2", "What is in region 2? 2"),
    ]
    assert rejected == []


def test_captions_in_a_csv_file_beside_parquet(tmp_path):  # MultiCaRe
    images(tmp_path / "PMC1", "PMC10001_a.webp")
    row = {"file": "PMC10001_a.webp", "patient_id": "PMC10001_01", "caption": "A scan."}
    table(tmp_path / "captions_and_labels.csv", [row])
    pq.write_table(pa.table({"article_id": ["PMC10001"], "age": [5]}), tmp_path / "cases.parquet")
    (record,), rejected = read(tmp_path)
    assert (record.caption, record.group_id, record.subject_id) == (
        "A scan.",
        "PMC10001",
        "PMC10001_01",
    )
    assert [(r.reason, r.file) for r in rejected] == [("table not used", "cases.parquet")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shard-000000.tar", "1 .tar (unpack with `tar -xf`)"),
        ("NLMCXR_png.tgz", "1 .tgz (unpack"),
        ("Befunde.xlsx", "1 .xlsx (save the sheet as CSV)"),
        ("ecgen-radiology/1.xml", "1 .xml (make a table"),
    ],
)
def test_files_that_are_not_read_are_told(tmp_path, name, said):
    write(tmp_path / name, b"PK")
    with pytest.raises(CorpusError, match=re.escape(said)):
        read(tmp_path)
    images(tmp_path, "a.png")
    with pytest.raises(CorpusError, match=re.escape(said)):
        read(tmp_path)


def test_reports_of_volumes_are_read_as_text_alone_only_if_asked(tmp_path):  # CT-RATE
    write(tmp_path / "train" / "train_1_a_1.nii.gz", gzip.compress(b"0"))
    report = tmp_path / "reports" / "train_reports.csv"
    table(report, [{"VolumeName": "train_1_a_1.nii.gz", "Findings_EN": "No effusion at all."}])
    with pytest.raises(CorpusError, match=r"1 \.nii\.gz \(volumes: save slices as PNG\)"):
        read(tmp_path)
    (record,), rejected = read(report)
    assert (record.caption, record.image, rejected) == ("No effusion at all.", None, [])


def test_paths_of_another_machine_are_no_ids(tmp_path):
    images(tmp_path, "Größe/Bild 1.PNG", "zwei/b.png")
    rows = "Datei;Befund\r\nD:\\Daten\\Größe\\Bild 1.png;eins\r\n/home/x/zwei/b.png;zwei\r\n"
    write(tmp_path / "t.csv", rows.encode("cp1252"))
    records, _ = read(tmp_path)
    assert [r.id for r in records] == ["Größe/Bild 1", "zwei/b"]


def test_a_table_called_captions_with_commas_is_no_roco(tmp_path):
    images(tmp_path / "Images", "1.jpg", "2.jpg")
    write(tmp_path / "captions.txt", "image,caption\n1.jpg,One.\n1.jpg,Uno.\n2.jpg,Two.\n")
    records, _ = read(tmp_path)
    assert [r.caption for r in records] == ["One.", "Uno.", "Two."]


def test_captions_before_addresses_without_a_header(tmp_path):  # Conceptual Captions
    write(tmp_path / "t.tsv", "A scan of it\thttps://x.org/1\nA second scan\thttps://x.org/2\n")
    records, _ = read(tmp_path)
    assert [(r.caption, r.extra) for r in records] == [
        ("A scan of it", {"url": "https://x.org/1"}),
        ("A second scan", {"url": "https://x.org/2"}),
    ]


def test_a_zip_archive_of_all_that(tmp_path):
    mimic(tmp_path / "in", "files")
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(tmp_path / "out" / "all.zip", "w") as archive:
        for path in (tmp_path / "in").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path / "in"))
    records, _ = read(tmp_path / "out")
    assert {(r.split, r.subject_id) for r in records} == {
        ("train", "19000001"),
        ("test", "19000002"),
    }


def test_a_table_of_all_rows_beside_those_of_splits_puts_no_image_into_two(tmp_path):
    images(tmp_path / "im", *(f"{n}.png" for n in range(4)))
    rows = [{"image": f"{n}.png", "caption": f"Of {n}"} for n in range(4)]
    for name, part in (("all", rows), ("train", rows[:3]), ("test", rows[3:])):
        table(tmp_path / f"{name}.csv", part)
    manifest = write_corpus(open_source(tmp_path), tmp_path.with_suffix(".out")).manifest
    assert manifest.splits == {"test": 1, "train": 3}
    assert manifest.rejected == {"duplicate id": 4}


def test_tables_in_folders_of_patients_name_images_alike(tmp_path):
    for n in (1, 2):
        images(tmp_path / f"patient{n}", "im0.png")
        table(tmp_path / f"patient{n}" / "report.csv", [{"image": "im0.png", "report": f"Of {n}"}])
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.id, r.caption, r.subject_id) for r in records] == [
        ("im0", "Of 1", "patient1"),
        ("patient2/im0", "Of 2", "patient2"),
    ]


def test_a_column_of_folders_tells_images_of_one_name_apart(tmp_path):
    images(tmp_path, "d0/1.png", "d1/1.png")
    rows = [{"ImageDir": f"d{n}", "ImageID": "1.png", "Report": f"Of {n}"} for n in (0, 1)]
    table(tmp_path / "t.csv", rows)
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [(r.caption, r.image) for r in records] == [
        ("Of 0", png_bytes(1)),
        ("Of 1", png_bytes(2)),
    ]


def test_a_folder_of_each_participant(tmp_path):  # BIDS
    rows = [{"participant_id": f"sub-0{n}", "report": f"Of {n}"} for n in (1, 2)]
    images(tmp_path, *(f"sub-0{n}/ses-01/anat/sub-0{n}_T1w.png" for n in (1, 2)))
    table(tmp_path / "participants.csv", rows)
    records, _ = read(tmp_path)
    assert [(r.caption, r.subject_id, r.group_id) for r in records] == [
        ("Of 1", "sub-01", "sub-01/ses-01"),
        ("Of 2", "sub-02", "sub-02/ses-01"),
    ]


@pytest.mark.parametrize(
    "name", ["1", "https://x.org/a/0001.png?w=9", "0001", "C:\\x\\0001.PNG", "a/0001.png"]
)
def test_an_image_by_number_or_address(tmp_path, name):
    images(tmp_path, "a/0001.png", "a/0002.png")
    table(tmp_path / "t.csv", [{"image": name, "caption": "one"}])
    (record,), _ = read(tmp_path)
    assert record.image_path == "a/0001.png"


def test_rows_over_several_lines_between_tabs(tmp_path):  # "Unicode text" of Excel
    images(tmp_path, "1.png", "2.png")
    rows = 'Dateiname\tBefund\tFall\n1.png\t"Lunge frei.\nHerz ""normal""."\t7\n2.png\tBein\t8\n'
    write(tmp_path / "t.txt", rows.encode("utf-16"))
    records, rejected = read(tmp_path)
    assert rejected == []
    assert [r.caption for r in records] == ['Lunge frei.\nHerz "normal".', "Bein"]


def test_further_forms_of_json(tmp_path):
    images(tmp_path / "a", "1.png", "2.png")
    rows = [{"image": f"{n}.png", "caption": f"Of {n}."} for n in (1, 2)]
    write(tmp_path / "a" / "data.json", "\n".join(map(json.dumps, rows)))
    write(tmp_path / "a" / "splits.json", json.dumps({"train": ["1.png"], "test": ["2"]}))
    records, rejected = read(tmp_path / "a")
    assert rejected == []
    assert [(r.caption, r.split) for r in records] == [("Of 1.", "train"), ("Of 2.", "test")]
    images(tmp_path / "b", "1.png")
    write(tmp_path / "b" / "captions.json", json.dumps({"1.png": ["One.", "Uno."]}))
    (record,), rejected = read(tmp_path / "b")
    assert (record.caption, rejected) == ("One. Uno.", [])


# --- the recipes of docs/corpus.md ------------------------------------------------------------


def recipe(word: str) -> str:
    text = (ROOT / "docs" / "corpus.md").read_text("utf-8")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return textwrap.dedent(next(block for block in found if word in block))


def follow(word: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    monkeypatch.chdir(folder)
    exec(compile(recipe(word), "corpus.md", "exec"), {})
    return read(folder)[0]


def test_recipe_for_openis_xml(tmp_path, monkeypatch):
    images(tmp_path / "NLMCXR_png", "R1_1.png")
    xml = (
        '<eCitation><uId id="R1"/><AbstractText Label="FINDINGS">Clear.</AbstractText>'
        '<AbstractText Label="IMPRESSION"/><parentImage id="R1_1"/></eCitation>'
    )
    write(tmp_path / "ecgen-radiology" / "1.xml", xml)
    (record,) = follow("parentImage", tmp_path, monkeypatch)
    assert (record.caption, record.group_id) == ("Clear.", "R1")


def test_recipe_for_labels(tmp_path, monkeypatch):
    images(tmp_path, "train/patient1/study1/view1.jpg")
    name = "CheXpert-v1.0-small/train/patient1/study1/view1.jpg"
    row = {"Path": name, "Sex": "F", "Edema": "1.0", "Fracture": "", "Lung Opacity": "1.0"}
    table(tmp_path / "train.csv", [row])
    (record,) = follow("select_dtypes", tmp_path, monkeypatch)
    assert (record.caption, record.subject_id) == ("Edema, Lung Opacity", "patient1")


def test_recipe_for_several_texts_of_an_image(tmp_path, monkeypatch):
    images(tmp_path, "1.jpg")
    write(tmp_path / "captions.txt", "image,caption\n1.jpg,One.\n1.jpg,Uno.\n")
    (record,) = follow("groupby", tmp_path, monkeypatch)
    assert record.caption == "One. Uno."


def test_recipe_for_names_of_images_in_two_columns(tmp_path, monkeypatch):
    images(tmp_path / "figures", "57c9_2-Figure1-1.png")
    line = {"pdf_hash": "57c9", "fig_uri": "2-Figure1-1.png", "s2_caption": "Barium enema."}
    write(tmp_path / "medicat.jsonl", json.dumps(line))
    (record,) = follow("pdf_hash", tmp_path, monkeypatch)
    assert (record.caption, record.group_id) == ("Barium enema.", "57c9")


def test_recipe_for_conversations(tmp_path, monkeypatch):
    images(tmp_path / "images", "1.jpg")
    turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A scan."}]
    write(tmp_path / "llava.json", json.dumps([{"image": "1.jpg", "conversations": turns}]))
    (record,) = follow("conversations", tmp_path, monkeypatch)
    assert record.caption == "A scan."
