"""Documents that stand in the training split, or have their like there: images, captions, groups.

An encoder that was trained on an image finds it too easily. Images are compared by the hash
of their bytes and by a perceptual hash (64 bits, near up to 3 differing ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.search.pool import Pool
from ingest.corpus.corpus import Corpus
from ingest.corpus.duplicates import NEAR_BITS, normal_caption

__all__ = ["TRAIN", "Overlap", "find_overlap"]

TRAIN = "train"  # the split that encoders are trained on

BLOCK = 512


@dataclass(frozen=True)
class Overlap:
    """bool [documents] each, in the order of the pool.

    same_image: the document is of the train split, or an image of equal bytes is; near_image:
    one that looks alike; caption: an equal caption; group: an image of the same case or article.
    """

    same_image: NDArray[np.bool_]
    near_image: NDArray[np.bool_]
    caption: NDArray[np.bool_]
    group: NDArray[np.bool_]

    def counts(self) -> dict[str, int]:
        """How many documents overlap in each way."""
        parts = {
            "same_image": self.same_image,
            "near_image": self.near_image,
            "caption": self.caption,
            "group": self.group,
        }
        return {name: int(found.sum()) for name, found in parts.items()}


def find_overlap(corpus: Corpus, pool: Pool) -> Overlap:
    """Compare the pool's documents with the corpus's train split."""
    columns = corpus.table(["id", "caption", "group_id", "split", "hashes"]).to_pydict()
    place = {name: row for row, name in enumerate(columns["id"])}
    trained = [row for row, split in enumerate(columns["split"]) if split == TRAIN]
    rows = [place[name] for name in pool.ids]
    of_training = np.isin(rows, trained)

    def stands_in_training(values: Sequence[str]) -> NDArray[np.bool_]:
        seen = {values[row] for row in trained} - {""}
        return np.array([values[row] in seen for row in rows], np.bool_)

    hashes = columns["hashes"]
    same = of_training | stands_in_training([each["image_sha256"] or "" for each in hashes])
    looks = [each["image_dhash"] or "" for each in hashes]
    near = _near([looks[row] for row in rows], [looks[row] for row in trained])
    return Overlap(
        same_image=same,
        near_image=near & ~same,
        caption=stands_in_training([normal_caption(text) for text in columns["caption"]]),
        group=stands_in_training([name or "" for name in columns["group_id"]]),
    )


def _near(hashes: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each perceptual hash (hex, "" for none) is near one of the others."""
    bits = np.array([int(text or "0", 16) for text in hashes], np.uint64)
    known = np.array(sorted({int(text, 16) for text in others if text}), np.uint64)
    near = np.zeros(len(bits), np.bool_)
    for start in range(0, len(bits) if len(known) else 0, BLOCK):
        block = bits[start : start + BLOCK]
        distance = np.bitwise_count(block[:, None] ^ known[None, :])
        near[start : start + BLOCK] = (distance <= NEAR_BITS).any(axis=1)
    return np.asarray(near & np.array([bool(text) for text in hashes]))
