"""Plain PNG files are decoded to Pillow's pixels, or are left to Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, PngImagePlugin

from encoders import grey_png as module
from encoders.grey_png import grey_png
from encoders.images.preprocess import ImageError, decode_image


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: bytes, width: int, height: int, *, before: bytes = b"", cut: int = 7) -> bytes:
    """A file of filtered rows, its pixels in two chunks."""
    packed = zlib.compress(rows)
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:])
    return b"\x89PNG\r\n\x1a\n" + header + before + body + chunk(b"IEND", b"")


def by_pillow(data: bytes) -> np.ndarray | None:
    try:
        return np.asarray(decode_image(data))
    except ImageError:
        return None


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32), st.booleans())
def test_pillows_pixels_with_every_filter(width: int, height: int, seed: int, plain: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (height, width + 1), dtype=np.uint8)
    rows[:, 0] = 0 if plain else rng.integers(0, 5, height)
    data = png(rows.tobytes(), width, height, before=chunk(b"pHYs", bytes(9)))
    np.testing.assert_array_equal(grey_png(data), by_pillow(data))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_left_to_pillow_or_read_as_it_reads_it(data: st.DataObject) -> None:
    rows = np.random.default_rng(3).integers(0, 5, (6, 9), dtype=np.uint8).tobytes()
    whole = bytearray(png(rows, 8, 6))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    found = grey_png(damaged)
    if found is not None:
        np.testing.assert_array_equal(found, by_pillow(damaged))


def saved(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def test_what_is_not_plain_is_left_to_pillow() -> None:
    grey = Image.new("L", (5, 4), 9)
    upright = Image.Exif()
    upright[0x0112] = 6
    words = PngImagePlugin.PngInfo()
    words.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert grey_png(saved(grey)) is not None
    others = [saved(grey.convert(mode)) for mode in ("RGB", "P", "1", "I;16", "LA")]
    others += [saved(grey, exif=upright), saved(grey, pnginfo=words), saved(grey, transparency=9)]
    others += [png(b"\5" + bytes(3), 3, 1), png(bytes(9), 3, 2), b"", b"GIF89a"]
    assert [grey_png(data) for data in others] == [None] * len(others)


def test_no_more_is_unpacked_than_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grey_png(png(bytes(2**22), 3, 2)) is None
    data = png(bytes(8), 3, 2)
    assert grey_png(data) is not None
    monkeypatch.setattr(module, "MAX_PIXELS", 5)
    assert grey_png(data) is None
