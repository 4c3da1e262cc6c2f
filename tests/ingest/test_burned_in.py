"""Text burnt into pixels: found, told, masked, on every frame; without the extra one sentence."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from ingest.corpus.corpus import Corpus
from ingest.sources.burned_in import detail, masked
from rocosearch.cli import app

from .dicom_made import dicom_bytes

SIDE = 256


def with_text(text: str, at: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    ground = 40 + 60 * (np.hypot(rows - 128, columns - 128) < 80)
    image = Image.fromarray(ground.astype(np.uint8))
    ImageDraw.Draw(image).text(at, text, font=ImageFont.load_default(20), fill=250)
    return np.asarray(image)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["corpus", *map(str, arguments)], env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output
    return result.output


def test_boxes_become_black():
    image = Image.new("RGB", (8, 8), (200, 10, 10))
    pixels = np.asarray(masked(image, [(2, 1, 5, 3)]))
    assert (pixels[1:3, 2:5] == 0).all()
    assert (pixels[..., 0] == 200).sum() == 64 - 6
    assert np.asarray(image)[1, 2, 0] == 200  # the image itself is as it was


def test_what_is_faint_stands_out_beside_what_is_bright():
    image = Image.new("L", (200, 100), 20)
    draw = ImageDraw.Draw(image)
    draw.rectangle((120, 0, 199, 99), fill=220)
    draw.line((30, 20, 30, 40), fill=44)  # a hairline of 24 grey levels
    found = np.asarray(detail(image))
    assert found[25:35, 30].min() > 120
    assert found[60:, :60].max() < 10


def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IM").write_bytes(dicom_bytes())
    output = run(tmp_path / "in", tmp_path / "out", "--mask-text", code=1)
    assert "pip install '.[ocr]'" in output


def test_a_name_is_found_on_every_frame_and_masked(tmp_path):
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
    places = [(10, 6), (90, 210)]
    frames = np.stack([with_text("DOE JANE 4711", at) for at in places])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cine").write_bytes(dicom_bytes(frames, NumberOfFrames=2))
    plain = np.stack([with_text("", at) for at in places])
    output = run(tmp_path / "in", tmp_path / "out", "--frames", "all", "--mask-text")
    assert "text seen in the pixels (2)" in output
    records = list(Corpus.open(tmp_path / "out").records())
    assert len(records) == 2
    for record, (x, y), shown in zip(records, places, plain, strict=True):
        ((left, top, right, bottom),) = record.extra["text_boxes"]
        assert left <= x + 2
        assert top <= y + 8
        assert right >= x + 120
        assert bottom >= y + 18
        pixels = np.asarray(Image.open(io.BytesIO(record.image)))
        box = np.s_[top:bottom, left:right]
        assert (pixels[box] == 0).all()
        outside = np.ones(shown.shape, np.bool_)
        outside[box] = False
        assert len(np.unique(shown[outside])) <= len(np.unique(pixels[outside])) <= 3
