"""Laws of reading tables and archives, whatever they hold."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Rejection
from ingest.sources.columns import Reading
from ingest.sources.file_index import FileIndex
from ingest.sources.files import Found, normal_name, split_of
from ingest.sources.table import Table, TableRow, open_table

from .conftest import png_bytes


def table_at(path, **reading: str) -> Table:
    return open_table(Found(path.name, lambda: path.open("rb")), Reading(**reading))


def pairs(table: Table) -> list[tuple[str, str]]:
    return [(row.values["id"], row.values["caption"]) for row in table.rows()]


QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ANY = st.text(st.characters(codec="utf-8"), max_size=40)
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=40)


@QUICK
@given(st.lists(st.tuples(ANY.filter(bool), ANY), max_size=5))
def test_comma_separated_tables_come_back(tmp_path, rows):
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ID", "Caption"])
        writer.writerows(rows)
    assert pairs(table_at(path, separator="comma", encoding="utf-8")) == rows


@QUICK
@given(st.lists(st.tuples(LINE.filter(lambda t: bool(t.strip())), LINE), max_size=5), st.booleans())
def test_tab_separated_tables_come_back(tmp_path, rows, quoted):
    def field(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted else text

    if not quoted:  # a field that is quoted as a whole cannot be told from one that is not
        rows = [row for row in rows if not any(t.startswith('"') for t in row)]
    path = tmp_path / "t.tsv"
    lines = ["id\tcaption", *("\t".join(map(field, row)) for row in rows)]
    path.write_bytes("\n".join(lines).encode())
    assert pairs(table_at(path)) == rows


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(3):
            file.writestr(f"images/{n}.png", png_bytes(n, side=32))
    return out.getvalue()


ARCHIVE = archive()


@QUICK
@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_archive_never_raises_anything_unexpected(tmp_path, changes):
    data = bytearray(ARCHIVE)
    for place, value in changes:
        data[place] = value
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    try:
        with FileIndex(path) as images:
            for stem in ("0", "1", "2"):
                try:
                    name = images.find(stem)
                    image = images.read(name)
                except ImageRejectedError:
                    continue
                assert name.endswith(".png")
                assert len(image) < 1 << 20
    except CorpusError:
        pass


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_rows_rejections_or_one_error(tmp_path, data):
    path = tmp_path / "t.csv"
    for content in (data, b"id,caption\n" + data, b"id\tcaption\n" + data):
        path.write_bytes(content)
        try:
            rows = list(table_at(path).rows())
        except CorpusError:
            continue
        assert all(isinstance(row, Rejection | TableRow) for row in rows)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("caption_prediction_valid", "validation"),
        ("dev", "validation"),
        ("test-00000-of-00002", "test"),
        ("resized_training", "train"),
        ("Testing", "test"),
        ("VAL", "validation"),
        ("contest", ""),
        ("validate", "validation"),
        ("radiologytraindata", "train"),
    ],
)
def test_splits_told_by_names(name, split):
    assert split_of(name) == split


def test_normal_names():
    assert normal_name(" Canonical name") == "canonical_name"
    assert normal_name("Concepts-Name ") == "concepts_name"


def test_an_archive_of_a_version_to_come_is_one_sentence(tmp_path):
    data = bytearray(archive())
    data[data.index(b"PK\x01\x02") + 6] = 99  # version needed to extract, in tenths
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with (
        pytest.raises(CorpusError, match="not a complete zip archive"),
        FileIndex(path),
    ):
        pass
