"""The native core by itself: programs, scans, and arrays that contradict each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.distances import similarities
from ranking.engine.program import compile_program
from ranking.engine.segment.codes import exact_codes, short_codes
from ranking.engine.segment.postings import Term, TextIndex, text_arrays
from ranking.engine.top_k import kth_largest, top_k
from ranking.expressions.expression import parse
from ranking.profiles.shipped import SHIPPED

_core = pytest.importorskip("ranking.engine.kernels._core", reason="was not compiled")

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
    "sigmoid(bm25(caption)) - (bm25(caption) < 3) * (bm25(caption) == 0) + 4 * (2 > 1)",
]


def features(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.random((5, 40)) * [[20.0], [1.0], [2.0], [1.0], [1.0]]
    made[3:] = made[3:] > 0.3
    made[0, :3] = 0.0
    return made


def compare(tree, inputs):
    program = _core.Program(compile_program(tree.flat, inputs).steps)
    values = features(3)
    named = dict(zip(NAMES, values, strict=True)) | inputs
    expected = tree.evaluate(named)
    found = program.run(values)
    np.testing.assert_allclose(found, np.where(np.isnan(expected), -np.inf, expected), rtol=1e-13)


def first_phase(name):
    profile = SHIPPED.resolve(name)
    return parse(profile.first_phase, profile.functions)


# `features` above are of one text field, the caption.
ONE_TEXT = [
    name
    for name in SHIPPED.names()
    if {each for each in first_phase(name).features if "bm25" in each} <= {"bm25(caption)"}
]


@pytest.mark.parametrize("name", ONE_TEXT)
def test_a_program_computes_what_the_profile_says(name):
    inputs = {f"query({key})": value for key, value in SHIPPED.resolve(name).inputs.items()}
    compare(first_phase(name), inputs)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_program_computes_what_an_expression_says(expression):
    compare(parse(expression), {})


def test_what_the_machine_lacks_has_no_program():
    assert compile_program(parse("hamming(bm25(caption), 3)").flat, {}) is None


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [(99, 0, 0, 0, 0.0)],
        [(4, 0, 0, 0, 0.0)],
        [(0, 0, 0, 0, 1.0), (4, 0, 7, 0, 0.0)],
        [(1, 0, 0, 0, 5.0)],
        [(1, 0, 0, 0, float("nan"))],
    ],
)
def test_a_program_that_cannot_run_is_refused(steps):
    with pytest.raises(_core.DamagedError):
        _core.Program(steps)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=200), st.integers(1, 200))
def test_the_k_largest(numbers, k):
    values = np.array(numbers, np.float64)
    k = min(k, len(values))
    assert kth_largest(values, k) == np.sort(values)[-k]
    expected = np.sort(np.argsort(-values, kind="stable")[:k])
    np.testing.assert_array_equal(top_k(values, k), expected)


@pytest.mark.parametrize("dimension", [1, 15, 16, 24, 64, 100, 512])
@pytest.mark.parametrize("cells", ["float32", "uint16", "int8"])
def test_similarities_are_the_exact_routes_to_the_bit(dimension, cells):
    random = np.random.default_rng(dimension)
    stored = (30 * random.standard_normal((70, dimension))).astype(np.float32)
    if cells == "uint16":
        stored = (stored.view(np.uint32) >> 16).astype(np.uint16)
    stored = stored.astype(np.int8) if cells == "int8" else stored
    query = random.standard_normal(dimension).astype(np.float32)
    docs = np.arange(0, 70, 3)
    for metric, squared in ((2, False), (4, True)):
        vectors = _core.Vectors(stored, np.ones(70, bool), None, metric)
        found = _core.similarity(vectors, query, docs)
        expected = similarities(stored[docs], query, squared_distance=squared)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("make", [exact_codes, lambda v: short_codes(v, np.ones(len(v), bool))])
def test_what_codes_tell_is_within_their_bounds(make):
    random = np.random.default_rng(5)
    stored = np.float32(random.standard_normal((2000, 10)) @ random.standard_normal((10, 40)))
    stored += np.float32(0.1 * random.standard_normal(stored.shape))
    codes, docs = make(stored), np.arange(2000)
    vectors = _core.Vectors(stored, np.ones(2000, bool), None, 2)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, 2000)
    for query in np.float32(random.standard_normal((8, 40))):
        *_, scan = _core.nearest(vectors, coded, query, None, 10)
        products = similarities(stored, query)
        bounds, opposite = scan.bounds(docs), _core.nearest(vectors, coded, -query, None, 10)[-1]
        assert (products <= bounds + 1e-9).all()
        assert (-products <= opposite.bounds(docs) + 1e-9).all()
        assert np.corrcoef(products, bounds)[0, 1] > 0.9


# --- arrays that contradict each other -------------------------------------------------------


def postings(**changed):
    captions = [["a", "b"], ["b"], ["c"] * 3, None] * 30
    index = TextIndex("t", text_arrays("t", captions))
    names = ("docs", "tfs", "impacts", "lengths", "dense", "ranks")
    arrays = {name: index.array(name) for name in names} | changed
    return arrays, lambda: _core.Postings(*arrays.values())


def ask(made, terms, documents=(0, 5, 90)):
    """Every entry that reads postings."""
    listed = np.array(documents, np.int64)
    none = np.empty(0)
    program = _core.Program([(1, 0, 0, 0, 0.0)])
    size = np.ones(120, bool)
    return (
        lambda: _core.bm25(made, terms, 1.0, None, listed),
        lambda: _core.all_matches(made, terms, None),
        lambda: _core.candidates(
            made, terms, 1.0, 1.0, None, size, None, None, np.empty(0, np.int64), none,
            np.nan, None, program, True, 3, none,
        ),
    )  # fmt: skip


def test_right_arrays_are_taken():
    _, make = postings()
    for entry in ask(make(), [Term(0, 30, 1.0, -1)]):
        entry()


@pytest.mark.parametrize("name", ["tfs", "impacts"])
def test_lists_of_different_lengths_are_refused(name):
    arrays, _ = postings()
    with pytest.raises(_core.DamagedError, match="different lengths"):
        postings(**{name: arrays[name][:-1].copy()})[1]()


@pytest.mark.parametrize("term", [(-1, 5), (5, 3), (0, 10**9), (2**62, 2**63 - 1)])
def test_terms_outside_the_postings_are_refused(term):
    for entry in ask(postings()[1](), [Term(*term, 1.0, -1)]):
        with pytest.raises(_core.DamagedError, match="outside the index"):
            entry()


def test_a_row_that_is_not_there_is_refused():
    for entry in ask(postings()[1](), [Term(0, 30, 1.0, 0)]):
        with pytest.raises(_core.DamagedError, match="no row"):
            entry()


@pytest.mark.parametrize("wrong", [120, 4_000_000_000, 2**32 - 1])
def test_postings_of_no_document_are_refused(wrong):
    docs = postings()[0]["docs"].copy()
    docs[3] = wrong
    _, matches, candidates = ask(postings(docs=docs)[1](), [Term(0, 30, 1.0, -1)])
    for entry in (matches, candidates):
        with pytest.raises(_core.DamagedError, match="not there"):
            entry()


def test_postings_that_do_not_ascend_are_refused():
    docs = np.sort(np.arange(9000, dtype=np.uint32) % 4500)[::-1].copy()
    ones = np.ones(9000, np.uint16)
    made = _core.Postings(
        docs, ones, ones, np.ones(9000, np.uint32), np.zeros((0, 9024), np.uint8),
        np.zeros((0, 141, 2), np.uint64),
    )  # fmt: skip
    none, program = np.empty(0), _core.Program([(1, 0, 0, 0, 0.0)])
    with pytest.raises(_core.DamagedError, match="ascend"):
        _core.candidates(
            made, [(0, 9000, 1.0, -1)], 1.0, 1.0, None, np.ones(9000, bool), None, None,
            np.empty(0, np.int64), none, np.nan, None, program, True, 3, none,
        )  # fmt: skip


def test_ranks_that_point_outside_are_refused():
    size = 128
    ranks = np.full((1, 2, 2), 2**63, np.uint64)
    made = _core.Postings(
        np.arange(size, dtype=np.uint32), np.ones(size, np.uint16), np.ones(size, np.uint16),
        np.ones(size, np.uint32), np.ones((1, size), np.uint8), ranks,
    )  # fmt: skip
    with pytest.raises(_core.DamagedError, match="ranks"):
        _core.bm25(made, [(0, size, 1.0, 0)], 1.0, None, np.array([63, 127]))


@pytest.mark.parametrize("documents", [(-1,), (120,), (5, 4), (2**40,)])
def test_documents_that_are_not_there_are_refused(documents):
    with pytest.raises(_core.DamagedError, match="document number"):
        ask(postings()[1](), [Term(0, 30, 1.0, -1)], documents)[0]()


def test_vectors_and_codes_that_do_not_fit_are_refused():
    stored = np.ones((600, 8), np.float32)
    present = np.ones(600, bool)
    with pytest.raises(_core.DamagedError, match="another length"):
        _core.Vectors(stored, present[:-1].copy(), None, 1)
    with pytest.raises(_core.DamagedError, match="squared lengths"):
        _core.Vectors(stored, present, None, 3)
    with pytest.raises(_core.DamagedError, match="unknown type"):
        _core.Vectors(stored.astype(np.float64), present, None, 1)
    codes = exact_codes(stored)
    with pytest.raises(_core.DamagedError, match="do not fit"):
        _core.Codes(codes.basis, codes.blocks[:-1].copy(), codes.bounds, codes.residuals, 600)
    with pytest.raises(_core.DamagedError, match="residuals"):
        _core.Codes(codes.basis, codes.blocks, codes.bounds, np.ones(3, np.float32), 600)
    with pytest.raises(_core.DamagedError, match="scale"):
        _core.Codes(codes.basis, codes.blocks, 0 * codes.bounds, codes.residuals, 600)
    for wrong in (np.nan, np.inf, -1.0):
        bounds = codes.bounds.copy()
        bounds[1] = wrong
        with pytest.raises(_core.DamagedError, match="no lengths"):
            _core.Codes(codes.basis, codes.blocks, bounds, codes.residuals, 600)
    vectors = _core.Vectors(stored, present, None, 1)
    with pytest.raises(_core.DamagedError, match="query vector"):
        _core.nearest(vectors, None, np.ones(9, np.float32), None, 3)
    with pytest.raises(_core.DamagedError, match="not finite"):
        _core.nearest(vectors, None, np.full(8, np.nan, np.float32), None, 3)
    apart = _core.Vectors(stored, present, None, 4)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, 600)
    with pytest.raises(_core.DamagedError, match="do not bound distances"):
        _core.nearest(apart, coded, np.ones(8, np.float32), None, 3)
    with pytest.raises(_core.DamagedError, match="mask"):
        _core.nearest(vectors, None, np.ones(8, np.float32), np.ones(3, bool), 3)
    with pytest.raises(TypeError):  # nothing is converted, so nothing is copied
        _core.nearest(vectors, None, np.ones(8), None, 3)


def test_a_scan_of_fewer_documents_is_refused():
    vectors = np.eye(110, 8, dtype=np.float32)
    codes = short_codes(vectors, np.ones(110, bool))
    made = _core.Vectors(vectors, np.ones(110, bool), None, 2)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, 110)
    docs, similarity, farthest, scan = _core.nearest(made, coded, np.ones(8, np.float32), None, 3)
    # The codes are padded to 128 documents; what is beside them is not.
    with pytest.raises(_core.DamagedError, match="document number"):
        scan.bounds(np.array([110]))
    program, none = _core.Program([(1, 0, 0, 0, 0.0)]), np.empty(0)
    more = _core.Vectors(np.ones((120, 8), np.float32), np.ones(120, bool), None, 2)
    with pytest.raises(_core.DamagedError, match="do not fit the segment"):
        _core.candidates(
            postings()[1](), [Term(0, 30, 1.0, -1)], 1.0, 1.0, None, np.ones(120, bool), more,
            np.ones(8, np.float32), docs, similarity, farthest, scan, program, True, 3, none,
        )  # fmt: skip


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_term_without_a_weight_is_refused(weight):
    for entry in ask(postings()[1](), [Term(0, 30, weight, -1)]):
        with pytest.raises(_core.DamagedError, match="weight"):
            entry()


def test_what_pads_a_row_of_a_frequent_term_is_no_document():
    size = 100
    dense = np.full((1, 128), 255, np.uint8)
    bits = np.full(2, 2**64 - 1, np.uint64)
    ranks = np.stack([bits, np.array([0, 64], np.uint64)], axis=1)[None].copy()
    made = _core.Postings(
        np.arange(size, dtype=np.uint32), np.ones(size, np.uint16),
        np.full(size, 65535, np.uint16), np.ones(size, np.uint32), dense, ranks,
    )  # fmt: skip
    program, none = _core.Program([(1, 0, 0, 0, 0.0)]), np.empty(0)
    docs, *_, matched = _core.candidates(
        made, [(0, size, 1.0, 0)], 1.0, 1.0, None, np.ones(size, bool), None, None,
        np.empty(0, np.int64), none, np.nan, None, program, True, 200, none,
    )  # fmt: skip
    assert matched == size
    assert docs.tolist() == list(range(size))


def test_equal_scores_of_many_documents_are_found():
    """A first phase that gives all the same: nothing can be left out."""
    size = 20_000
    every = np.arange(size, dtype=np.uint32)
    ones = np.ones(size, np.uint16)
    made = _core.Postings(
        every, ones, np.full(size, 65535, np.uint16), np.ones(size, np.uint32),
        np.zeros((0, 20_032), np.uint8), np.zeros((0, 313, 2), np.uint64),
    )  # fmt: skip
    program, none = _core.Program([(0, 0, 0, 0, 1.0)]), np.empty(0)
    docs, *_, matched = _core.candidates(
        made, [(0, size, 1.0, -1)], 1.0, 1.0, None, np.ones(size, bool), None, None,
        np.empty(0, np.int64), none, np.nan, None, program, True, 3, none,
    )  # fmt: skip
    assert matched == len(docs) == size
