"""Scale a vector for a field with int8 cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.types import VectorField

__all__ = ["LENGTH_TOLERANCE", "in_cells"]

LENGTH_TOLERANCE = 1e-3
SCALE = 127.0


def in_cells(vector: NDArray[np.float32], stored: VectorField) -> NDArray[np.float32]:
    """Float32 [D] to send for `stored`: for int8 cells a unit vector times 127, rounded.

    Vespa cuts what it is sent to whole numbers, so a unit vector would become zeros. Documents
    and queries are scaled alike, which leaves angles as they were but for the rounding. A vector
    that is longer than 1 is taken to be scaled already.
    """
    if stored.cell_type != "int8":
        return vector
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1.0) > LENGTH_TOLERANCE:
        return vector
    scaled: NDArray[np.float32] = np.rint(SCALE * vector).astype(np.float32)
    return scaled
