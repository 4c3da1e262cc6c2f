"""Compiled code gives what numpy gives: programs of expressions, scans of codes, selection."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numba.core.caching import IndexDataCacheFile

from encoders.jit import kernel_stamp
from ranking.engine.compiled import kernels
from ranking.engine.compiled.kernels import kth_largest, scan_codes
from ranking.engine.compiled.machine import program, run
from ranking.expressions.expression import parse
from ranking.profiles.shipped import SHIPPED

NAMES = (
    "bm25(caption)",
    "closeness(field,embedding)",
    "distance(field,embedding)",
    "attribute(has_caption)",
    "attribute(has_vector)",
)
EXPRESSIONS = [
    "if (bm25(caption) > 3 && !(attribute(has_vector) == 0), exp(-bm25(caption)), 2)",
    "max(log(bm25(caption)), min(sqrt(closeness(field, embedding)), 0.5))",
    "cos(distance(field, embedding)) - acos(closeness(field, embedding)) / log10(bm25(caption))",
    "atan(relu(bm25(caption) - 5)) + square(tanh(-closeness(field, embedding)))",
    "(attribute(has_caption) || attribute(has_vector)) * (bm25(caption) >= 2) + (1 <= 2)",
    "abs(bm25(caption) - 7) != 0.5",
]


def features(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.random((5, 40)) * [[20.0], [1.0], [2.0], [1.0], [1.0]]
    made[3:] = made[3:] > 0.3
    made[0, :3] = 0.0
    return made


def compare(tree, inputs):
    compiled = program(tree.flat, inputs)
    values = features(3)
    named = dict(zip(NAMES, values, strict=True)) | inputs
    np.testing.assert_allclose(run(compiled, values), tree.evaluate(named), rtol=1e-13)


@pytest.mark.parametrize("name", SHIPPED.names())
def test_a_program_computes_what_the_profile_says(name):
    profile = SHIPPED.resolve(name)
    inputs = {f"query({key})": value for key, value in profile.inputs.items()}
    compare(parse(profile.first_phase, profile.functions), inputs)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_program_computes_what_an_expression_says(expression):
    compare(parse(expression), {})


def test_what_the_machine_lacks_has_no_program():
    assert program(parse("hamming(bm25(caption), 3)").flat, {}) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(0, 1000))
def test_codes_are_scanned_exactly(width, seed):
    random = np.random.default_rng(seed)
    codes = random.integers(-63, 64, (3, 8 * width, 64)).astype(np.int8)
    query = random.integers(-63, 64, 8 * width).astype(np.int8)
    found = np.empty(192, np.int32)
    scan_codes(codes, query, found)
    expected = np.einsum("bkd,k->bd", codes.astype(int), query.astype(int)).ravel()
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=200), st.integers(1, 200))
def test_the_kth_largest(numbers, k):
    values = np.array(numbers, np.float64)
    k = min(k, len(values))
    assert kth_largest(values, k) == np.sort(values)[-k]


def test_what_was_compiled_is_kept_only_while_no_kernel_changes(tmp_path):
    (tmp_path / "other.py").write_text("numbers = 1\n")
    (tmp_path / "kernels.py").write_text("@compiled\ndef one(): ...\n")
    before = kernel_stamp.__wrapped__(tmp_path)
    (tmp_path / "other.py").write_text("numbers = 2\n")
    assert kernel_stamp.__wrapped__(tmp_path) == before
    (tmp_path / "callees.py").write_text("@compiled\ndef two(): ...\n")
    after = kernel_stamp.__wrapped__(tmp_path)
    (tmp_path / "registers.py").write_text("three = intrinsic(build)\n")
    assert len({before, after, kernel_stamp.__wrapped__(tmp_path)}) == 3
    kept = scan_codes._cache._cache_file
    assert kernel_stamp(Path(kernels.__file__).parent) in kept._version


def test_what_an_older_version_kept_is_not_even_read(tmp_path):
    kept = IndexDataCacheFile(str(tmp_path), "kernel", scan_codes._cache._cache_file._source_stamp)
    (tmp_path / "kernel.nbi").write_bytes(pickle.dumps(kept._version) + b"cranking.gone\nKernel\n.")
    with pytest.raises(ModuleNotFoundError):
        kept.load("key")
    kept._version = scan_codes._cache._cache_file._version
    assert kept.load("key") is None
