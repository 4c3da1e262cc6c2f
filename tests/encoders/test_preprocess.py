from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageDraw

from encoders.images.preprocess import ImageError, Preprocessing, decode_image, open_image
from encoders.model.module import normalize


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size and holds almost nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def jpeg_of_many_scans() -> bytes:
    """A progressive JPEG whose last scan stands in it 200 times."""
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 200 + data[-2:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (jpeg_of_many_scans(), "more than 100 scans"),
        (png_header(1, 90_000_000), "1 x 90,000,000 pixels"),
        (b"no image at all", "not an image in a known format"),
        (png_header(12_000, 12_000), "12,000 x 12,000 pixels"),
        (png_header(40_000, 40_000), "more than 100,000,000 pixels"),
        (encoded(Image.effect_noise((64, 64), 50))[:-900], "damaged"),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:-900], "damaged"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)


def test_cmyk_becomes_rgb() -> None:
    decoded = decode_image(encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "JPEG"))
    assert decoded.mode == "RGB"
    red, green, blue = decoded.getpixel((1, 1))
    assert red > 200
    assert max(green, blue) < 60


def test_sixteen_bits_are_windowed_to_the_full_range() -> None:
    ramp = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = np.asarray(decode_image(encoded(Image.fromarray(ramp))))
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (np.diff(pixels.reshape(-1).astype(int)) >= 0).all()


def test_a_constant_sixteen_bit_image_is_black() -> None:
    constant = np.full((8, 8), 700, dtype=np.uint16)
    assert np.asarray(decode_image(encoded(Image.fromarray(constant)))).max() == 0


def test_palette_and_transparency_are_resolved_on_black() -> None:
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    decoded = decode_image(encoded(image))
    assert decoded.getpixel((0, 0)) == (255, 0, 0)
    assert decoded.getpixel((3, 3)) == (0, 0, 0)
    assert decode_image(encoded(image.convert("RGB").convert("P"))).mode == "RGB"


@pytest.mark.parametrize(("mode", "white"), [("L", 255), ("RGB", (255, 255, 255))])
def test_a_colour_named_transparent_becomes_black(mode: str, white: object) -> None:
    image = Image.new(mode, (2, 1), white)  # type: ignore[arg-type]
    image.putpixel((0, 0), 90 if mode == "L" else (90, 90, 90))
    decoded = decode_image(encoded(image, transparency=white))
    assert decoded.mode == mode
    assert np.asarray(decoded)[0, :, ...].reshape(2, -1)[:, 0].tolist() == [90, 0]


def test_exif_rotation_is_applied() -> None:
    image = Image.new("L", (8, 4))
    ImageDraw.Draw(image).rectangle((0, 0, 3, 3), fill=255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    decoded = decode_image(encoded(image, "JPEG", exif=exif, quality=95))
    assert decoded.size == (4, 8)
    assert np.asarray(decoded)[:3].mean() > 200
    assert np.asarray(decoded)[5:].mean() < 50


def test_a_file_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png: cannot be read"):
        open_image(tmp_path / "absent.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.png: .*empty"):
        open_image(tmp_path / "empty.png")


def test_padding_keeps_everything_and_cropping_the_middle() -> None:
    wide = Image.new("L", (80, 40), 200)
    padded = Preprocessing(size=16, resize="pad").pixels(wide)
    assert padded.shape == (1, 16, 16)
    assert padded[0, 0].max() == 0
    assert padded[0, 8].min() == 200
    assert Preprocessing(size=16, resize="crop").pixels(wide).min() == 200


def test_normalising_uses_mean_and_deviation_of_each_channel() -> None:
    settings_ = Preprocessing(4, "RGB", mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    values = normalize(torch.full((1, 3, 4, 4), 255, dtype=torch.uint8), settings_)[0, :, 0, 0]
    torch.testing.assert_close(values, torch.tensor([1.0, 1.0, 0.0]))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 200))
def test_random_damage_is_an_image_error_or_an_image(junk: bytes, at: int) -> None:
    whole = bytearray(encoded(Image.effect_noise((16, 16), 50), "PNG"))
    whole[at : at + len(junk)] = junk
    with contextlib.suppress(ImageError):
        assert decode_image(bytes(whole)).mode in ("L", "RGB")
