"""Unit vectors survive in whole numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from ranking.cell_types import scaled_for


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_angles_stay(seed: int) -> None:
    first, second = unit(seed), unit(seed + 1)
    a, b = scaled_for(first, "int8"), scaled_for(second, "int8")
    assert np.array_equal(a, np.trunc(a))
    assert np.abs(a).max() <= 127
    cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert abs(cosine - float(first @ second)) < 0.02
    assert float(a @ first / np.linalg.norm(a)) > 0.995


def test_scaled_already_or_not_int8() -> None:
    scaled = scaled_for(unit(0), "int8")
    assert scaled_for(scaled, "int8") is scaled
    vector = unit(0)
    assert scaled_for(vector, "float") is vector
