from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from encoders.images.preprocess import ImageError, open_image
from ingest.corpus.corpus import write_corpus
from ingest.corpus.images import ImageRejectedError, check_image, dhash
from ingest.corpus.records import Record

from .conftest import Rows, png_bytes


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


RAMP = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
EXIF = Image.Exif()
EXIF[0x0112] = 6
USABLE = {
    "cmyk": encoded(RAMP.convert("CMYK"), "JPEG"),
    "16-bit": encoded(Image.fromarray(np.asarray(RAMP).astype(np.uint16) * 256)),
    "palette": encoded(RAMP.convert("P")),
    "exif": encoded(RAMP, "JPEG", exif=EXIF),
    "alpha": encoded(RAMP.convert("RGBA")),
    "1-bit": encoded(RAMP.convert("1")),
}
REFUSED = {
    "0 bytes": b"",
    "40,000 pixels": huge_png(),
    "truncated": png_bytes(side=64)[:60],
    "text": b"<html>404 not found</html>",
}


@pytest.mark.parametrize("kind", USABLE)
def test_usual_and_unusual_images_are_taken_as_they_are(kind, tmp_path):
    record = Record(kind, "caption", image=USABLE[kind])
    corpus = write_corpus(Rows([record]), tmp_path / "c")
    (read,) = corpus.records()
    assert read.image == USABLE[kind]
    assert len(read.image_dhash) == 16


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_decoded_is_refused(kind):
    with pytest.raises(ImageRejectedError, match=r"unusable image: The"):
        check_image(REFUSED[kind])


def test_the_hash_survives_encoding_and_scaling():
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 255, (12, 12), np.uint8)).resize((300, 200))
    other = check_image(encoded(soft.resize((150, 100)), "JPEG", quality=60))
    bits = int(dhash(soft), 16) ^ int(dhash(other), 16)
    assert bits.bit_count() <= 3


def test_the_hash_tells_an_image_from_its_mirror_image():
    assert dhash(RAMP) == "f" * 16
    assert dhash(RAMP.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == "0" * 16


def test_what_would_take_a_minute_to_decode_is_refused_by_its_header():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 9_000, 9_000, 16, 6, 0, 0, 0)  # RGBA of 16 bits
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    for decode, error in ((check_image, ImageRejectedError), (open_image, ImageError)):
        with pytest.raises(error, match="9,000 x 9,000 pixels of 648,000,000 bytes"):
            decode(data)  # a corpus's image, and a query's
