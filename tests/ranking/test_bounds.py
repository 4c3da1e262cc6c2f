"""What is said to rise with bm25 and closeness does so, wherever it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.distances import closeness_to_distance
from ranking.expressions.expression import parse
from ranking.expressions.monotone import increases
from ranking.profiles.shipped import SHIPPED

INPUTS = {"query(a)": 0.5, "query(k)": 8.0, "query(zero)": 0.0, "query(less)": -2.0}
CLOSENESS = "closeness(field,e)"
COSINE = f"cos(1 / {CLOSENESS} - 1)"
LOWEST = {"angular": 1 / (1 + np.pi), "prenormalized-angular": 1 / 3, "euclidean": 1e-6}


def told(expression: str, distance: str = "prenormalized-angular") -> bool:
    return increases(parse(expression).flat, INPUTS, distance)


@pytest.mark.parametrize(
    "expression",
    [
        "bm25(caption)",
        f"query(a) * {CLOSENESS} + (1 - query(a)) * bm25(caption) / (bm25(caption) + 8)",
        "2.2 * bm25(caption) / (query(k) + 0.5 * bm25(caption))",
        "atan(bm25(caption) / query(k)) * 2 / 3.14",
        f"if (attribute(has_vector), {CLOSENESS}, 0.5 * bm25(caption))",
        f"sigmoid(-4 + 2 * {CLOSENESS})",
        f"max(bm25(caption), 2) * {CLOSENESS}",
        "-(0 - bm25(caption))",
        "log(1 + bm25(caption)) - 3 * attribute(has_vector)",
        f"bm25(caption) + query(k) * (2 - 1 / {CLOSENESS})",
        f"bm25(caption) + query(k) * if (attribute(has_vector), 2 - 1 / {CLOSENESS}, 0)",
        "bm25(caption) - 3 * distance(field,e)",
        "bm25(caption) + 20 * exp(-2 * distance(field,e))",
        f"bm25(caption) - acos(2 - 1 / {CLOSENESS})",
        f"exp(3 * {CLOSENESS}) * sqrt(bm25(caption))",
        f"bm25(caption) + 5 * pow({CLOSENESS}, 3) + 2 ^ tanh(bm25(caption))",
        f"bm25(caption) + query(k) * ({CLOSENESS} - 0.333) / (1 - 0.333)",
        f"bm25(caption) + if ({CLOSENESS} > 0, exp({CLOSENESS}), 0)",
        "if (bm25(caption) > 3, 2, 1)",
        "if (bm25(caption) < 3, atan(bm25(caption)), 2 + log10(1 + bm25(caption)))",
        "bm25(caption) * query(zero) - query(less) * bm25(caption)",
        f"(1 + bm25(caption)) / (3 - {CLOSENESS})",
        f"bm25(caption) + relu({CLOSENESS} - 0.5)",
    ],
)
def test_what_increases(expression):
    assert told(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "-bm25(caption)",
        f"bm25(caption) - {CLOSENESS}",
        f"1 / {CLOSENESS}",
        "bm25(caption) / (bm25(caption) + query(none))",
        "bm25(caption) / (bm25(caption) - 3)",
        f"({CLOSENESS} - 0.5) * bm25(caption)",
        "if (bm25(caption) > 3, 1, 2)",
        "cos(bm25(caption))",
        "distance(field,e)",
        f"log({CLOSENESS} - 1)",
        f"bm25(caption) * cos(1 / {CLOSENESS} - 1)",
        f"acos({CLOSENESS})",
        f"pow({CLOSENESS}, -1)",
        f"bm25(caption) / (bm25(caption) + {CLOSENESS})",
        f"asin(3 * {CLOSENESS})",
    ],
)
def test_what_does_not_rise_or_cannot_be_told(expression):
    assert not told(expression)


def test_an_angle_is_turned_into_a_cosine():
    """The cosine of the angle between query and document, from Vespa's closeness of it."""
    blend = f"bm25(caption) + query(k) * if (attribute(has_vector), {COSINE}, 0)"
    assert told(blend, "angular")
    assert told(f"bm25(caption) + query(k) * {COSINE}", "angular")  # NaN for all without a vector
    assert told(blend)
    assert not told(blend, "euclidean")  # whose distances have no end


def test_a_dot_product_may_be_negative():
    product = f"{CLOSENESS} * bm25(caption)"
    assert told(product, "angular")
    assert not told(product, "dotproduct")
    assert told(f"bm25(caption) - distance(field,e) + {CLOSENESS}", "dotproduct")


def test_without_a_vector_closeness_is_nothing():
    falling = parse(f"bm25(caption) - {CLOSENESS}").flat
    assert not increases(falling, {}, "angular")
    assert increases(falling, {}, "angular", by_vector=False)


@pytest.mark.parametrize("name", SHIPPED.names())
@pytest.mark.parametrize("by_vector", [True, False])
def test_every_shipped_profile_increases(name, by_vector):
    profile = SHIPPED.resolve(name)
    inputs = {f"query({key})": value for key, value in profile.inputs.items()}
    tree = parse(profile.first_phase, profile.functions).flat
    assert increases(tree, inputs, "prenormalized-angular", by_vector=by_vector)


LEAVES = ["bm25(caption)", CLOSENESS, "distance(field,e)", "attribute(has_vector)"]
LEAVES += [*INPUTS, "1", "0.5", "3"]
UNARY = ["exp", "log", "sqrt", "tanh", "sigmoid", "atan", "acos", "asin", "cos", "sin", "tan"]
UNARY += ["abs", "square", "relu", "floor", "cosh", "elu", "-", "1 / "]


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(["+", "-", "*", "/", "^", "<", ">", "=="])
    return st.one_of(
        st.builds("{}({})".format, st.sampled_from(UNARY), inner),
        st.builds("({}) {} ({})".format, inner, binary, inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "pow"]), inner, inner),
        st.builds("({0}) / ({0} + {1})".format, inner, inner),
        st.builds("if ({} > {}, {}, {})".format, inner, inner, inner, inner),
    )


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(st.sampled_from(LEAVES), larger, max_leaves=6),
    st.sampled_from(["angular", "prenormalized-angular", "euclidean"]),
)
def test_what_is_said_to_rise_never_falls(expression, distance):
    if not told(expression, distance):
        return
    blend = parse(expression)
    bm25 = np.concatenate([[0.0, 1e-9], np.linspace(0.01, 12, 30), [40.0, 300.0]])
    for has_vector in (1.0, 0.0):
        near = np.linspace(LOWEST[distance], 1.0, 40) if has_vector else np.zeros(1)
        words, closeness = (axis.ravel() for axis in np.meshgrid(bm25, near, indexing="ij"))
        values = {
            "bm25(caption)": words,
            CLOSENESS: closeness,
            "distance(field,e)": closeness_to_distance(closeness, distance),
            "attribute(has_vector)": has_vector,
            **INPUTS,
        }
        score = blend.evaluate(values)
        grid = np.where(np.isnan(score), -np.inf, score) * np.ones(len(words))
        grid = grid.reshape(len(bm25), len(near))
        with np.errstate(all="ignore"):  # as ranking/engine/kernels/pruning.cpp allows
            least = np.where(np.isinf(grid), grid, grid - 1e-12 * np.abs(grid))
        assert (grid[1:] >= least[:-1]).all()
        assert (grid[:, 1:] >= least[:, :-1]).all()
