"""The encoder's image tower compiled, where that gives the vectors that the encoder gives.

Vectors are kept under the encoder's fingerprint, beside those that it made itself: so only a
tower in full precision is taken, and only if it passes a gate far below what ranking can see.
Eight bits would be three times as fast again, and other vectors: see docs/fast-images.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoders.fast_images import fast_images
from encoders.model.clip import Encoder
from ingest.vectors.image_encoder import ImageEncoder

__all__ = ["SAME", "compiled_exactly"]

SAME = 1e-5  # largest difference in any number of a vector of length 1
JUDGES = 64


def compiled_exactly(encoder: ImageEncoder, images: Sequence[bytes]) -> tuple[ImageEncoder, str]:
    """A compiled tower whose vectors are the encoder's to 1e-5 on some of `images`, or itself.

    With it comes what was taken and why, for the report.
    """
    if not isinstance(encoder, Encoder) or next(encoder.module.parameters()).is_cuda:
        return encoder, "the encoder itself"
    judges = list(images[:JUDGES])
    try:
        fast = fast_images(encoder, judges, precisions=["float32"])
        found = fast.encode_images(judges)
    except Exception as error:  # noqa: BLE001 - what is only faster must not stop the work
        return encoder, f"the encoder itself (not compiled: {error})"
    off = float(np.abs(found - encoder.encode_images(judges)).max())
    if off > SAME:
        return encoder, f"the encoder itself (compiled, vectors differ by {off:.1e})"
    return fast, f"compiled image tower, float32, within {max(off, 1e-9):.0e} of the encoder's"
