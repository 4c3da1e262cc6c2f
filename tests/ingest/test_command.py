"""What `rocosearch corpus` says of splits."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from rocosearch.cli import app

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
