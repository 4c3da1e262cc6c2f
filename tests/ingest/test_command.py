"""What `rocosearch corpus` says of splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from encoders.base.errors import Notice
from ingest.sources.columns import Reading
from rocosearch.cli import app
from rocosearch.pipeline import build_corpus

from .conftest import png_bytes


def said(folder: Path, rows: list[dict[str, str]]) -> str:
    (folder / "in").mkdir()
    for number, row in enumerate(rows):
        (folder / "in" / f"{number}.png").write_bytes(png_bytes(number))
        row |= {"file_name": f"{number}.png", "caption": f"caption {number}"}
    (folder / "in" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["corpus", str(folder / "in"), str(folder / "out")]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result.output


def test_empty_drawn_splits_are_named(tmp_path):
    output = said(tmp_path, [{"patient_id": "p"} for _ in range(9)])
    assert "9 records, 9 with an image; train 9 (splits drawn)" in output
    assert "No validation and no test split: there are too few groups" in output


def test_groups_and_rows_out_of_place_are_named(tmp_path):
    rows = [{"patient_id": "p", "split": split} for split in ("train", "Testing", "", "holdout")]
    output = said(tmp_path, rows)
    assert "holdout 1, test 1, train 2 (splits source)" in output
    assert "in several splits of the source: 1. The published splits are kept" in output
    assert "no split, put into train (1), split of another name (1)" in output


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("phantoms:12", ["--caption-column", "b"], "--caption-column has no effect on a drawn"),
        (
            "phantoms:12",
            ["--frames", "all", "--mask-text"],
            "--frames and --mask-text have no effect",
        ),
        ("phantoms:12", ["--key", "k"], "--key has no effect on phantoms:12, which is not DICOM"),
        ("rows.csv", ["--find-text"], "--find-text has no effect on files in the table layout"),
        ("rows.jsonl", ["--encoding", "cp1252"], "has no text table: leave --encoding"),
        ("rows.csv", ["--splits", "draw", "--split-column", "id"], "--split-column has no effect"),
    ],
)
def test_what_is_said_of_a_source_that_is_not_read_so_is_refused(
    tmp_path, monkeypatch, source, options, said
):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("id,caption\n" + "".join(f"i{n},a caption {n}\n" for n in range(8)))
    Path("rows.jsonl").write_text('{"id": "a", "caption": "a caption of it"}\n')
    done = CliRunner().invoke(app, ["corpus", source, "out", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert said in done.stderr
    assert not Path("out").exists()


def test_a_column_without_splits_is_told_of(tmp_path):
    rows = "".join(f"i{n},a caption {n}\n" for n in range(8))
    (tmp_path / "rows.csv").write_text(f"id,caption\n{rows}")
    with pytest.warns(Notice, match="Column 'id' names no split but train, so splits were drawn"):
        build_corpus(tmp_path / "rows.csv", tmp_path / "out", reading=Reading(split="id"))
