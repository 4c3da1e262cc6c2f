"""Copies of training images: proposed by perceptual hashes, verified by pixels.

A 64-bit dHash within 10 bits proposes a copy; it is verified where two 64 x 64 grey images
correlate at .98 or more. Of real images: JPEG at quality 75 1.00, at 20 .99, half the size .97,
another gamma .99, and no two different cases among 1.7 million pairs. Hashes alone are no proof:
drawn or cropped images share them.
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
    "grey_vector",
    "verified",
]

Marks = NDArray[np.bool_]
Pairs = NDArray[np.int64]

COPY_BITS = 10
LIKE_BITS = 16  # with the encoder's own cosine, which proves nothing
COSINE = 0.98
CORRELATION = 0.98
SIDE = 64
# Of one image the nearest of training are looked at: one copy is enough.
NEAREST = 20
BLOCK = 512


def close_pairs(hashes: Sequence[str], others: Sequence[str], bits: int) -> tuple[Pairs, Pairs]:
    """Pairs (row of `hashes`, row of `others`) within `bits`, the 20 nearest of each.

    Both are 16 hex digits, "" for none.
    """
    rows = np.array([row for row, text in enumerate(hashes) if text], np.int64)
    known = np.array([row for row, text in enumerate(others) if text], np.int64)
    mine = np.array([int(hashes[row], 16) for row in rows], np.uint64)
    theirs = np.array([int(others[row], 16) for row in known], np.uint64)
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(mine) if len(theirs) else 0, BLOCK):
        distance = np.bitwise_count(mine[start : start + BLOCK, None] ^ theirs[None, :])
        for row in np.flatnonzero((distance <= bits).any(axis=1)).tolist():
            near = np.flatnonzero(distance[row] <= bits)
            near = near[np.argsort(distance[row, near], kind="stable")[:NEAREST]]
            left.append(np.full(len(near), rows[start + row]))
            right.append(known[near])
    return np.concatenate(left), np.concatenate(right)


def verified(corpus: Corpus, pairs: Sequence[tuple[str, str]]) -> Marks:
    """Which pairs of ids are of images whose greys correlate, bool [pairs]."""
    greys = dict(_greys(corpus, {name for pair in pairs for name in pair}))
    return np.array(
        [
            first in greys
            and second in greys
            and float(greys[first] @ greys[second]) >= CORRELATION
            for first, second in pairs
        ],
        np.bool_,
    )


def _greys(corpus: Corpus, ids: Collection[str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Ids and greys of images; images without contrast not."""
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
                image = open_image(data)
            except UserError:
                continue
            grey = grey_vector(image)
            if grey is not None:
                yield row["id"], grey


def grey_vector(image: Image.Image) -> NDArray[np.float64] | None:
    """Centred greys of unit length, float64 [4096]; None if there is no contrast."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length else None
