"""How many changed copies of an image are found, and how many other images are taken for one.

    python -m benchmarks.copies CORPUS [--encoder ENCODER] [--images 200]

Each of a seeded sample of a corpus's images is compressed, halved, brightened, cropped, padded and
turned. The first figure is the share of copies that are verified (dHash within 10 bits and greys
that correlate at .98), the second that only are proposed by dHash; with an encoder the third is
the share told as alike (dHash within 16 bits and a cosine of .98). Last come the pairs of images
of different groups that would be taken for copies, over the whole corpus.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from PIL import Image, ImageOps

from encoders.images.preprocess import open_image
from eval.leakage.copies import (
    COPY_BITS,
    CORRELATION,
    COSINE,
    LIKE_BITS,
    close_pairs,
    correlation,
    thumbnail,
    verified,
)
from ingest.corpus.corpus import Corpus
from ingest.corpus.images import dhash
from rocosearch.open_index import load_encoder

Change = Callable[[Image.Image], Image.Image]


def _jpeg(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return change


def _gamma(power: float) -> Change:
    table = [round(255 * (value / 255) ** power) for value in range(256)] * 3
    return lambda image: image.point(table)


def _crop(share: float) -> Change:
    """Cut this share of the shorter side off at every edge."""
    return lambda image: ImageOps.crop(image, round(share * min(image.size)))


def _pad(share: float) -> Change:
    return lambda image: ImageOps.expand(image, round(share * min(image.size)), "black")


def _turn(degrees: float) -> Change:
    return lambda image: image.rotate(degrees, Image.Resampling.BICUBIC)


CHANGES: dict[str, Change] = {
    "JPEG, quality 75": _jpeg(75),
    "JPEG, quality 20": _jpeg(20),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "gamma .7": _gamma(0.7),
    "gamma 1.5": _gamma(1.5),
    "2 % cut off every edge": _crop(0.02),
    "5 % cut off every edge": _crop(0.05),
    "5 % black at every edge": _pad(0.05),
    "15 % black at every edge": _pad(0.15),
    "turned by 1 degree": _turn(1),
    "turned by 3 degrees": _turn(3),
    "mirrored": ImageOps.mirror,
}


def main() -> None:
    """Print a line for each change, then false alarms."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("--encoder", type=Path)
    options.add_argument("--images", type=int, default=200)
    asked = options.parse_args()
    corpus = Corpus.open(asked.corpus)
    encoder = load_encoder(asked.encoder) if asked.encoder else None
    table = ds.dataset(corpus.parts).to_table(columns=["id", "image"]).to_pylist()
    known = [row for row in table if (row["image"] or {}).get("bytes")]
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(known))[: asked.images]).tolist()
    images = [open_image(known[row]["image"]["bytes"]).convert("RGB") for row in rows]
    vectors = encoder.encode_images(images) if encoder else None
    for name, change in CHANGES.items():
        copies = [change(image) for image in images]
        bits = [_bits(a, b) for a, b in zip(images, copies, strict=True)]
        close = np.array(bits) <= COPY_BITS
        alike = np.array(
            [correlation(thumbnail(a), thumbnail(b)) for a, b in zip(images, copies, strict=True)]
        )
        told = f"{name:<26} verified {(close & (alike >= CORRELATION)).mean():.3f}"
        told += f"  proposed {close.mean():.3f}"
        if encoder and vectors is not None:
            cosines = (encoder.encode_images(copies) * vectors).sum(axis=1)
            like = (np.array(bits) <= LIKE_BITS) & (cosines >= COSINE)
            told += f"  alike {like.mean():.3f}"
        print(told, flush=True)
    _false_alarms(corpus)


def _bits(first: Image.Image, second: Image.Image) -> int:
    return (int(dhash(first), 16) ^ int(dhash(second), 16)).bit_count()


def _false_alarms(corpus: Corpus) -> None:
    columns = corpus.table(["id", "group_id", "hashes"]).to_pydict()
    looks = [each["image_dhash"] or "" for each in columns["hashes"]]
    groups = columns["group_id"]
    left, right, _ = close_pairs(looks, looks, COPY_BITS)
    apart = [
        (columns["id"][a], columns["id"][b])
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
        if a < b and groups[a] != groups[b]
    ]
    count = sum(1 for look in looks if look)
    proven = int(verified(corpus, apart).sum())
    print(
        f"of {count * (count - 1) // 2:,} pairs of images {len(apart):,} of different groups are "
        f"proposed, {proven:,} verified"
    )


if __name__ == "__main__":
    main()
