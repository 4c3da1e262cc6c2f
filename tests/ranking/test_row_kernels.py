"""What registers do to 64 documents at a time, against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from encoders.jit import compiled
from ranking.engine.compiled.row_kernels import ROW, Line, sum_row, who_meets


@compiled
def summed(parts, rows, steps, begin, kept, sums, place):
    return sum_row(parts, rows, steps, begin, kept, sums, place)


@compiled
def meeting(sums, place, products, line):
    return who_meets(sums, place, products, line)


def bits(marks: np.ndarray) -> int:
    return int(np.packbits(marks, bitorder="little").view(np.uint64)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5), st.sampled_from([0, ROW, 3 * ROW]))
def test_sums_are_numpys_and_barred_documents_have_none(seed, terms, begin):
    random = np.random.default_rng(seed)
    parts = random.integers(0, 256, (6, 4 * ROW), np.uint8)
    rows = random.permutation(6)[:terms]
    steps = random.random(terms, np.float32)
    before = np.where(random.random(2 * ROW) < 0.5, 0, random.random(2 * ROW)).astype(np.float32)
    kept = random.random(ROW) < 0.8
    sums = before.copy()
    found = summed(parts, rows, steps, begin, np.uint64(bits(kept)), sums, ROW)
    expected = before[ROW:] + steps @ parts[rows, begin : begin + ROW].astype(np.float32)
    np.testing.assert_array_equal(sums[:ROW], before[:ROW])
    np.testing.assert_allclose(sums[ROW:], np.where(kept, expected, 0), rtol=1e-6)
    assert int(found) == bits(sums[ROW:] > 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_who_meets_a_line(seed):
    random = np.random.default_rng(seed)
    sums = random.integers(0, 8, 2 * ROW).astype(np.float32)
    products = random.integers(-40, 40, 2 * ROW).astype(np.int32)
    floor, sure, weight, unit, cut = random.integers(0, 6, 5).astype(np.float32)
    has, product = sums[ROW:], products[ROW:]
    expected = (has > floor) & ((has > sure) | (weight * has + unit * product > cut))
    line = Line(floor, sure, weight, unit, cut)
    assert int(meeting(sums, ROW, products, line)) == bits(expected)
