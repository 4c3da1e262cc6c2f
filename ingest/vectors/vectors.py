"""Checks of vectors: length, finite values, norm.

Vespa pads a short vector with zeros, and takes a NaN and an unnormalised one, without a word;
so what is wrong must be found before it is stored or sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError

__all__ = ["VectorError", "check_vectors"]

NORM_TOLERANCE = 1e-3


class VectorError(UserError):
    """A vector must not be stored: the message names the record."""


def check_vectors(
    ids: Sequence[str], vectors: NDArray[np.float32], dimension: int, normalized: bool
) -> None:
    """Raise VectorError for the first of `vectors` [N, D] that cannot be `ids`' vector."""
    if vectors.shape != (len(ids), dimension):
        raise VectorError(
            f"The encoder's vectors have shape {vectors.shape}; {(len(ids), dimension)} expected."
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise VectorError(f"The vector of {ids[int(finite.argmin())]} contains NaN or infinity.")
    if not normalized:
        return
    off = np.abs(np.linalg.norm(vectors, axis=1) - 1) > NORM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        norm = float(np.linalg.norm(vectors[row]))
        raise VectorError(f"The vector of {ids[row]} has length {norm:.4g}; 1 expected.")
