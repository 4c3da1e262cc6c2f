from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from encoders.base.errors import UserError
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.matching import shortfall
from ingest.corpus.records import CorpusError, Reason, Record, Rejection
from ingest.feed.documents import documents
from ingest.sources import open_source
from ingest.sources.phantoms import Phantoms
from ingest.vectors.embed import embed_corpus
from ranking.document_checks import is_text
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Attribute, Query
from rocosearch.pipeline import build_corpus, build_index

from .conftest import PixelEncoder, Rows, png_bytes

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
CAPTION = TEXT.filter(lambda text: bool(text.strip()) and is_text(text))
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT, st.lists)
RECORDS = st.lists(
    st.builds(
        Record,
        id=CAPTION.map(str.strip),
        caption=CAPTION.map(str.strip),
        image=st.none() | st.integers(0, 255).map(png_bytes),
        image_path=st.just("a.png"),
        concepts=st.lists(TEXT, max_size=3).map(tuple),
        concept_names=st.lists(TEXT, max_size=3).map(tuple),
        group_id=TEXT,
        group_kind=st.sampled_from(["article", "case", "none"]),
        modality=TEXT,
        split=st.sampled_from(["train", "validation", "test"]),
        licence=TEXT,
        source=TEXT,
        extra=st.dictionaries(TEXT, JSON, max_size=2),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda record: record.id,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_what_is_written_is_read(tmp_path_factory, records):
    corpus = write_corpus(Rows(records), tmp_path_factory.mktemp("c") / "c", splits="source")
    expected = [r if r.image is not None else replace(r, image_path="") for r in records]
    read = [replace(record, image_dhash="") for record in corpus.records()]
    assert read == expected
    assert len(corpus) == len(records)
    assert corpus.manifest.rejected == {}


def test_datasets_opens_it_with_decoded_images(phantom_corpus, tmp_path):
    files = [str(part) for part in phantom_corpus.parts]
    data = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path)
    )
    assert isinstance(data.features["image"], datasets.Image)
    assert data[0]["image"].size == (64, 64)
    assert data[0]["concepts"][0].startswith("modality-")
    assert len(data) == 54


def test_pandas_opens_it(phantom_corpus):
    frame = pd.read_parquet(phantom_corpus.path / "data")
    assert len(frame) == 54
    assert frame["image"][0]["bytes"].startswith(b"\x89PNG")
    assert json.loads(frame["extra"][0])["region"]


def test_the_table_has_the_columns_asked_for(phantom_corpus):
    assert phantom_corpus.table(["id", "split"]).column_names == ["id", "split"]
    assert "image" not in phantom_corpus.table().column_names


def test_every_unusable_row_is_written_down_with_its_reason(tmp_path):
    records = [
        Record("a", "a caption", file="x.csv", line=2),
        Record("a", "again", file="x.csv", line=3),
        Record("b", "  \n", file="x.csv", line=4),
        Record(" ", "no id", file="x.csv", line=5),
        Record("c", "empty image", image=b"", file="x.csv", line=6),
        Record("d", "no image", image=b"GIF89a nonsense", file="x.csv", line=7),
        Record("e", "not \udcff UTF-8", file="x.csv", line=8),
        Record("f", "\x00 null", file="x.csv", line=9),
        Record("g\x00", "a caption", file="x.csv", line=10),
    ]
    corpus = write_corpus(Rows(records), tmp_path / "c")
    rejected = corpus.rejected().to_pylist()
    assert [(r["line"], r["id"], r["reason"]) for r in rejected] == [
        (3, "a", "duplicate id"),
        (4, "b", "no caption"),
        (5, "", "no id"),
        (6, "c", "unusable image"),
        (7, "d", "unusable image"),
        (8, "e", "not valid text"),
        (9, "f", "not valid text"),
        (10, "g\x00", "not valid text"),
    ]
    assert {r["source"] for r in rejected} == {"x.csv"}
    assert corpus.manifest.rejected["unusable image"] == 2
    assert len(corpus) == 1


def test_a_caption_is_stripped_and_nothing_else(tmp_path):
    captions = {
        "control": "a\x01b\x07\x1b[0m c\u2028d\x85e",
        "long": "word " * 10_000 + "end",
        "chinese": "右肺上叶结节,边缘毛刺",
        "arabic": "أشعة سينية للصدر",
    }
    records = [Record(name, f"\t {text} \n") for name, text in captions.items()]
    corpus = write_corpus(Rows(records), tmp_path / "c")
    assert {record.id: record.caption for record in corpus.records()} == captions


def test_a_source_without_a_usable_row_is_an_error_that_tells_why(tmp_path):
    with pytest.raises(CorpusError, match=r"No row of rows can be used: no caption \(1\)"):
        write_corpus(Rows([Record("a", "")]), tmp_path / "c")
    with pytest.raises(CorpusError, match="rows is empty"):
        write_corpus(Rows([]), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_writing_leaves_the_old_corpus(own_corpus):
    def failing():
        yield Record("new", "caption")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_corpus(Rows(failing()), own_corpus.path)
    assert len(Corpus.open(own_corpus.path)) == 54
    assert [p.name for p in own_corpus.path.parent.iterdir()] == ["phantoms"]


def test_what_is_no_corpus_is_told_in_a_sentence(own_corpus, tmp_path):
    with pytest.raises(CorpusError, match="There is no corpus at"):
        Corpus.open(tmp_path / "nothing")
    manifest = own_corpus.path / "corpus.json"
    text = manifest.read_text()
    manifest.write_text(text[:40])
    with pytest.raises(CorpusError, match="is damaged"):
        Corpus.open(own_corpus.path)
    manifest.write_text(text.replace('"format": 2', '"format": 9'))
    with pytest.raises(CorpusError, match="has corpus format 9"):
        Corpus.open(own_corpus.path)
    manifest.write_text(text.replace('"images": ', '"images": 1'))
    with pytest.raises(CorpusError, match="checksum does not match"):
        Corpus.open(own_corpus.path)
    manifest.unlink()
    with pytest.raises(CorpusError, match="not a complete corpus"):
        Corpus.open(own_corpus.path)


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_part_is_found_at_opening(own_corpus, damage):
    part = own_corpus.parts[0]
    if damage == "truncate":
        part.write_bytes(part.read_bytes()[:100])
    else:
        part.unlink()
    with pytest.raises(CorpusError, match="damaged"):
        Corpus.open(own_corpus.path)


@pytest.mark.parametrize("name", ["data/part-00000.parquet", "duplicates.parquet"])
def test_a_changed_byte_of_a_footer_is_found(tmp_path, name):
    """Pages have checksums in the format; the footer, which names the columns, has ours."""
    records = [Record(f"r{n}", "the same caption") for n in range(5)]
    corpus = write_corpus(Rows(records), tmp_path / "c")
    path = corpus.path / name
    data = path.read_bytes()
    read = corpus.table if name.startswith("data") else corpus.duplicates
    expected = read()
    assert pq.read_table(path).num_rows == len(expected)  # for other readers it is a plain file
    end = len(data) - 8
    for place in range(end - int.from_bytes(data[-8:-4], "little"), end, 5):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(CorpusError, match="its footer was changed"):
            read()
    pq.write_table(expected, path)  # without our checksum, as another program writes it
    assert read() == expected


def test_many_parts_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.corpus.writer.PART_ROWS", 7)
    records = [Record(f"{n:03d}", f"caption {n}") for n in range(40)]
    corpus = write_corpus(Rows(records), tmp_path / "c")
    assert len(corpus.parts) == 6
    assert [record.id for record in corpus.records()] == [record.id for record in records]
    assert {r.id: r.split for r in corpus.records()} == dict(
        zip(*corpus.table(["id", "split"]).to_pydict().values(), strict=True)
    )


def test_writing_again_gives_the_same_content_and_keeps_vectors(own_corpus):
    encoder = PixelEncoder()
    embed_corpus(own_corpus, encoder)
    again = write_corpus(Phantoms(54), own_corpus.path)
    assert again.manifest == own_corpus.manifest
    assert embed_corpus(again, encoder).embedded == 0


def test_missing_and_unknown_splits_are_written_down(tmp_path):
    splits = ["train", "", "test", "holdout"]
    rows = [Record(f"{n}", f"c{n}", split=s, file="t.csv", line=n) for n, s in enumerate(splits)]
    corpus = write_corpus(Rows(rows), tmp_path / "c")
    assert corpus.manifest.splits == {"holdout": 1, "test": 1, "train": 2}
    assert [record.split for record in corpus.records()] == ["train", "train", "test", "holdout"]
    assert [(r["reason"], r["line"], r["row_kept"]) for r in corpus.rejected().to_pylist()] == [
        ("split of another name", 3, True),
        ("no split, put into train", 1, True),
    ]


def test_what_is_said_of_a_row_is_said_only_where_it_is_kept(tmp_path):
    rows = [
        Rejection(Reason.MISSING_IMAGE, "t.txt", 1, "a", row_kept=True),
        Record("a", "caption"),
        Rejection(Reason.MISSING_IMAGE, "t.txt", 2, "b", row_kept=True),
        Record("b", ""),
        Rejection(Reason.NO_CAPTION, "t.txt", 3, row_kept=True),
    ]
    manifest = write_corpus(Rows(rows), tmp_path / "c").manifest
    assert manifest.lost_parts == {"missing image": 1, "no caption": 1}
    assert manifest.rejected == {"no caption": 1}


def test_a_corpus_is_not_written_over_its_own_source(own_corpus):
    before = own_corpus.manifest
    for source in (own_corpus.path, own_corpus.path / "data"):
        with pytest.raises(CorpusError, match="contains the source"):
            write_corpus(open_source(source), own_corpus.path)
    assert Corpus.open(own_corpus.path).manifest == before


def test_a_corpus_of_a_corpus_keeps_what_was_rejected(tmp_path):
    rows = [Record("a", "caption"), Record("b", "", file="t.csv", line=7)]
    first = write_corpus(Rows(rows), tmp_path / "first")
    second = write_corpus(open_source(first.path), tmp_path / "second")
    assert second.manifest.rejected == {"no caption": 1}
    assert second.rejected().to_pylist() == first.rejected().to_pylist()


def test_what_a_killed_run_began_is_removed_by_the_next(own_corpus):
    begun = own_corpus.path.parent / ".phantoms.new.killed" / "data"
    begun.mkdir(parents=True)
    write_corpus(Phantoms(54), own_corpus.path)
    assert [p.name for p in own_corpus.path.parent.iterdir()] == ["phantoms"]


def test_a_corpus_of_format_1_reads_with_no_subject(own_corpus):
    for part in own_corpus.parts:
        pq.write_table(pq.read_table(part).drop_columns(["subject_id"]), part)
    manifest = own_corpus.path / "corpus.json"
    content = json.loads(manifest.read_text()) | {"format": 1}
    del content["checksum"]  # it had none
    manifest.write_text(json.dumps(content))
    corpus = Corpus.open(own_corpus.path)
    assert {record.subject_id for record in corpus.records()} == {""}
    assert set(corpus.table(["id", "subject_id"])["subject_id"].to_pylist()) == {""}
    manifest.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(CorpusError, match="has corpus format 99; this version reads 1 to 2"):
        Corpus.open(own_corpus.path)


OWN = (
    Attribute("age", "int", "patient age"),
    Attribute("seen", "date", "StudyDate"),
    Attribute("portable", "bool", "portable"),
    Attribute("site", "keyword", "site"),
    Attribute("dose", "float", "dose"),
)


def own_records(*extras: dict) -> list[Record]:
    return [Record(f"r{n}", f"caption {n}", extra=extra) for n, extra in enumerate(extras)]


def test_fields_of_ones_own_are_typed_columns_and_reach_documents(tmp_path):
    records = own_records(
        {"patient age": "61", "StudyDate": "20190102", "portable": "yes", "site": " North "},
        {"patient age": 7.0, "dose": "1.5", "StudyDate": "2019-01-02T10:00:00"},
        {"patient age": "063Y", "dose": "much", "site": ""},
    )
    corpus = write_corpus(Rows(records), tmp_path / "c", attributes=OWN)
    assert corpus.manifest.fields == OWN
    assert corpus.manifest.filled == {"age": 2, "seen": 2, "portable": 1, "site": 1, "dose": 1}
    assert corpus.manifest.lost_parts[Reason.OTHER_TYPE] == 2
    told = [row["detail"] for row in corpus.rejected().to_pylist() if row["id"] == "r2"]
    assert told == [
        "age is '063Y', not a whole number.",
        "dose is 'much', not a finite number.",
    ]
    frame = pd.read_parquet(tmp_path / "c" / "data")
    assert frame["age"].tolist()[:2] == [61, 7]
    assert corpus.table()["seen"].to_pylist() == [dt.date(2019, 1, 2)] * 2 + [None]
    assert [each.attributes for each in documents(corpus)] == [
        {"age": 61, "seen": "2019-01-02", "portable": True, "site": "North"},
        {"age": 7, "seen": "2019-01-02", "portable": False, "dose": 1.5},
        {"portable": False},
    ]
    assert shortfall(corpus) == ""


def test_a_corpus_read_again_keeps_its_own_fields(tmp_path):
    write_corpus(Rows(own_records({"dose": "much"}, {"dose": 2})), tmp_path / "a", attributes=OWN)
    again = build_corpus(tmp_path / "a", tmp_path / "b")
    assert again.manifest.fields == OWN
    assert [row["dose"] for row in again.rows(["dose"])] == [None, 2.0]
    assert again.manifest.lost_parts[Reason.OTHER_TYPE] == 1


def test_a_field_that_no_record_has_is_a_loud_end(tmp_path):
    records = own_records({"Age": 3}, {"Age": 4, "sex": "f"})
    corpus = write_corpus(Rows(records), tmp_path / "c", attributes=OWN[:1])
    assert shortfall(corpus) == (
        "No record has 'patient age', for the field age; there are: Age, sex."
    )


def test_an_index_holds_the_fields_and_knows_their_profiles(tmp_path):
    records = own_records({"patient age": 61}, {"patient age": 7})
    write_corpus(Rows(records), tmp_path / "c", attributes=OWN)
    profiles = tmp_path / "profiles.toml"
    text = 'default = "aged"\n[profiles.aged]\nretrieve = ["text"]\nfirst_phase = "attribute({})"\n'
    profiles.write_text(text.format("age"))
    index = build_index(tmp_path / "c", tmp_path / "i", profiles=profiles)
    assert index.search(Query("caption", profile="aged")).scores.tolist() == [61, 7]
    assert EmbeddedEngine.open(tmp_path / "i").info().attributes == OWN
    profiles.write_text(text.format("weight"))
    with pytest.raises(UserError, match=r"no attribute\(weight\); .*attribute\(has_age\)"):
        build_index(tmp_path / "c", tmp_path / "j", profiles=profiles)
