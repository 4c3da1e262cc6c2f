"""Copies of training images: proposed by perceptual hashes, verified by pixels.

A 64-bit dHash within 10 bits proposes a copy; it is verified where two 64 x 64 grey images
correlate at .98 or more, as a whole or without the edges of one (a crop, a border).
benchmarks/copies.py counts what that finds of real images, and no two different cases among 1.7
million pairs. Hashes alone are no proof: drawn images share them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray
from PIL import Image

from encoders.base.errors import UserError
from encoders.images.preprocess import open_image
from ingest.corpus.corpus import Corpus

__all__ = [
    "COPY_BITS",
    "CORRELATION",
    "COSINE",
    "LIKE_BITS",
    "close_pairs",
    "correlation",
    "thumbnail",
    "verified",
]

Marks = NDArray[np.bool_]
Pairs = NDArray[np.int64]

COPY_BITS = 10
LIKE_BITS = 16  # with the encoder's own cosine, which proves nothing
COSINE = 0.98
CORRELATION = 0.98
HOPELESS = 0.5  # less alike as a whole than this, no part is looked at
MARGINS = tuple(percent / 100 for percent in range(1, 11))
SIDE = 64
THUMBNAIL = 256
# Of one image the nearest of training are looked at: one copy is enough.
NEAREST = 20
BLOCK = 512


def close_pairs(
    hashes: Sequence[str], others: Sequence[str], bits: int
) -> tuple[Pairs, Pairs, Pairs]:
    """Pairs within `bits`, the 20 nearest of each: rows of `hashes`, of `others`, bits apart.

    Both are 16 hex digits, "" for none.
    """
    rows = np.array([row for row, text in enumerate(hashes) if text], np.int64)
    known = np.array([row for row, text in enumerate(others) if text], np.int64)
    mine = np.array([int(hashes[row], 16) for row in rows], np.uint64)
    theirs = np.array([int(others[row], 16) for row in known], np.uint64)
    left, right, apart = ([np.empty(0, np.int64)] for _ in range(3))
    for start in range(0, len(mine) if len(theirs) else 0, BLOCK):
        distance = np.bitwise_count(mine[start : start + BLOCK, None] ^ theirs[None, :])
        for row in np.flatnonzero((distance <= bits).any(axis=1)).tolist():
            near = np.flatnonzero(distance[row] <= bits)
            near = near[np.argsort(distance[row, near], kind="stable")[:NEAREST]]
            left.append(np.full(len(near), rows[start + row]))
            right.append(known[near])
            apart.append(distance[row, near].astype(np.int64))
    return np.concatenate(left), np.concatenate(right), np.concatenate(apart)


def verified(corpus: Corpus, pairs: Sequence[tuple[str, str]]) -> Marks:
    """Which pairs of ids are of images whose greys correlate, bool [pairs]."""
    known = dict(_thumbnails(corpus, {name for pair in pairs for name in pair}))
    return np.array(
        [
            first in known
            and second in known
            and correlation(known[first], known[second]) >= CORRELATION
            for first, second in pairs
        ],
        np.bool_,
    )


def correlation(first: Image.Image, second: Image.Image) -> float:
    """The highest correlation of 64 x 64 greys of two thumbnails.

    Of both as a whole, or of one as a whole and of the other without up to a tenth at each edge.
    """
    wholes = _grey(first), _grey(second)
    best = float(wholes[0] @ wholes[1])
    if not HOPELESS <= best < CORRELATION:
        return best
    for margin in MARGINS:
        best = max(best, float(wholes[0] @ _grey(second, margin)))
        best = max(best, float(_grey(first, margin) @ wholes[1]))
    return best


def thumbnail(image: Image.Image) -> Image.Image:
    """The image in grey, at most 256 pixels wide and high."""
    small = image.convert("L")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return small


def _thumbnails(corpus: Corpus, ids: Collection[str]) -> Iterator[tuple[str, Image.Image]]:
    if not ids:
        return
    wanted = ds.field("id").isin(sorted(ids))
    found = ds.dataset(corpus.parts).to_batches(columns=["id", "image"], filter=wanted)
    for batch in found:
        for row in batch.to_pylist():
            data = (row["image"] or {}).get("bytes")
            if not data:
                continue
            try:
                yield row["id"], thumbnail(open_image(data))
            except UserError:
                continue


def _grey(image: Image.Image, margin: float = 0.0) -> NDArray[np.float64]:
    """Centred greys of unit length, float64 [4096]; zeros where there is no contrast.

    margin: share of the shorter side that is left out at each edge.
    """
    cut = margin * min(image.size)
    box = (cut, cut, image.width - cut, image.height - cut)
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
    grey = np.asarray(small, np.float64).ravel()
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-12)
