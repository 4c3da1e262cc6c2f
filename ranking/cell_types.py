"""Cell types: in which numbers a vector field keeps its vectors.

    float     float32
    bfloat16  the high half of a float32
    int8      a whole number from -128 to 127

Documents and queries are both cut to the field's cells, as Vespa does: bfloat16 drops the low 16
bits, int8 drops the fraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELL_BYTES", "LENGTH_TOLERANCE", "CellType", "as_floats", "cells", "scaled_for"]

CellType = Literal["float", "bfloat16", "int8"]

CELL_BYTES: Mapping[CellType, int] = {"float": 4, "bfloat16": 2, "int8": 1}

LENGTH_TOLERANCE = 1e-3
"""How much the length of a unit vector may differ from 1."""

INT8_SCALE = 127.0

Floats = NDArray[np.float32]


def cells(vectors: Floats, cell_type: CellType) -> NDArray[Any]:
    """Cut float32 vectors to a field's cells: float32, uint16 (the high half) or int8."""
    if cell_type == "bfloat16":
        return (np.ascontiguousarray(vectors).view(np.uint32) >> 16).astype(np.uint16)
    if cell_type == "int8":
        return np.clip(np.trunc(vectors), -128, 127).astype(np.int8)
    return np.ascontiguousarray(vectors, np.float32)


def as_floats(stored: NDArray[Any]) -> Floats:
    """Return the numbers that stored cells stand for."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(stored, np.float32)


def scaled_for(vector: Floats, cell_type: CellType) -> Floats:
    """Float32 [D] to send to Vespa: for int8 cells a unit vector times 127, rounded.

    Vespa cuts what it is sent to whole numbers, so a unit vector would become zeros. Documents
    and queries are scaled alike, which leaves angles as they were but for the rounding. A vector
    that is longer than 1 is taken to be scaled already.
    """
    if cell_type != "int8":
        return vector
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1.0) > LENGTH_TOLERANCE:
        return vector
    return np.asarray(np.rint(INT8_SCALE * vector), np.float32)
