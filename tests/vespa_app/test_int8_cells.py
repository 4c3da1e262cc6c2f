"""Unit vectors survive in whole numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from ranking.types import VectorField
from vespa_app.package.int8_cells import in_cells

EIGHT = VectorField("embedding_00000000", 512, cell_type="int8")


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_angles_stay(seed: int) -> None:
    first, second = unit(seed), unit(seed + 1)
    a, b = in_cells(first, EIGHT), in_cells(second, EIGHT)
    assert np.array_equal(a, np.trunc(a))
    assert np.abs(a).max() <= 127
    cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert abs(cosine - float(first @ second)) < 0.02
    assert float(a @ first / np.linalg.norm(a)) > 0.995


def test_scaled_already_or_not_int8() -> None:
    scaled = in_cells(unit(0), EIGHT)
    assert in_cells(scaled, EIGHT) is scaled
    floats = VectorField("embedding_00000000", 512)
    vector = unit(0)
    assert in_cells(vector, floats) is vector
