"""Limits and errors shared by all image decoders."""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.base.errors import UserError

__all__ = [
    "MAX_BYTES",
    "MAX_DECODED",
    "MAX_PIXELS",
    "MAX_SIDE",
    "WINDOW",
    "ImageError",
    "parsers_silenced",
    "percentile_window",
]

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
MAX_SIDE = 100_000
MAX_DECODED = 300_000_000  # bytes: 100 megapixels in three colours of 8 bits
WINDOW = (0.5, 99.5)  # percentiles of a high-bit image that become black and white


class ImageError(UserError):
    """An image cannot be used; the message says why in one sentence."""


class _Silence:
    """Warnings of Pillow and pydicom are ignored while any thread is inside.

    A doubtful EXIF block or DICOM value is no reason to refuse an image, and our own limit on
    pixels holds.
    `warnings.catch_warnings` alone is not safe when several threads decode.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


parsers_silenced = _Silence()


def percentile_window(
    values: NDArray[np.float32], shown: NDArray[np.bool_] | None = None
) -> Image.Image:
    """Mode "L" of float32 [H, W]: percentile 0.5 becomes 0, 99.5 becomes 255.

    shown: bool [H, W], the pixels that count for the percentiles; None: all of them.
    Raises ImageError if none is finite.
    """
    counted = values if shown is None else values[shown]
    finite = counted[np.isfinite(counted)]
    if not finite.size:
        raise ImageError("The image has no finite intensity.")
    low, high = np.percentile(finite, WINDOW)
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    scale = 255 / (high - low) if high > low else 0.0
    scaled = np.nan_to_num((values - low) * scale, nan=0.0, posinf=255.0, neginf=0.0)
    return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8), "L")
