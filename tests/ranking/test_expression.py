"""Expressions against Vespa's own evaluator, and laws that hold whatever the expression."""

from __future__ import annotations

import itertools
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.expressions.expression import ExpressionError, parse
from ranking.expressions.functions import FUNCTIONS, normalize_linear, reciprocal_rank
from ranking.expressions.tree import (
    PRECEDENCE,
    Binary,
    Call,
    If,
    In,
    Name,
    Negative,
    Not,
    Number,
    write,
)

FEATURES = {"a": 0.5, "b": 2.0, "c": -3.25, "z": 0.0, "nan": math.nan, "inf": math.inf}
TENSORS = ("query(q)", "query(w)", "attribute(embedding)", "attribute(weights)", "tensor")

TRICKY = """\
1 < 2 == 1 ; 2 * 7 % 4 ; 8 / 4 % 3 ; 1e308 + 1e308 - 1e308 ; a * b / c ; -a ^ 2 ; 2 ^ -1
2 ^ 3 ^ 2 ; 1 || 0 && 0 ; 3 > 2 > 1 ; 1 + a in [1.5] ; nan in [nan] ; nan == nan ; !nan
if (nan, 1, 2) ; if (a, 1, 2, 0.3) ; round(2.5) ; round(-2.5) ; round(nan) ; round(inf)
round(0.49999999999999994) ; sign(nan) ; sign(0) ; 1 ^ nan ; pow(1, inf) ; pow(nan, 0) ; 5 % 0
-5 % 3 ; fmod(inf, 2) ; ldexp(0.5, 2.7) ; ldexp(1, nan) ; bit(5.7, 2) ; bit(-1, 7) ; bit(256, 8)
bit(inf, 0) ; bit(5, nan) ; hamming(-1, 0) ; hamming(300, 0) ; hamming(nan, 0)
a ~= 0.5000000000000001 ; 1 ~= 1.0000000000000002 ; 0.3 ~= 0.1 + 0.2 ; nan ~= nan ; relu(nan)
elu(-1000) ; sigmoid(-1000) ; max(nan, 1) ; 1 / (0 * -1) ; "ct" == "ct" ; "ct" == 1
"a" in ["a", 1] ; true + true ; 1e400 ; 5. + 1.5f ; erf(0.3) ; atan2(0, -1) ; a # a comment
exp(710) ; log(0) ; acos(2) ; isNan(inf) ; 0.0 in [-0.0]"""


def lines_of(path):
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def number(value):
    return float(str(value).replace("Infinity", "inf")) if isinstance(value, str) else value


def evaluate(text, features=FEATURES):
    expression = parse(text)
    known = dict.fromkeys(expression.features, 0.0)
    return float(expression.evaluate({**known, **features}))


def same(ours, vespas):
    return ours == pytest.approx(vespas, rel=1e-14, abs=1e-300, nan_ok=True)


def test_every_scalar_golden_expression(kit_golden):
    compared = 0
    for line in lines_of(kit_golden / "expressions.jsonl"):
        record = json.loads(line)
        text = record["input"]["expression"]
        features = {
            name: number(value)
            for name, value in record["input"]["features"].items()
            if not str(value).startswith("tensor")
        }
        try:
            ours = evaluate(text, features)
        except ExpressionError:
            # What Vespa refuses, tensor functions, and names it takes for features of value 0.
            assert not record["ok"] or "(" in text or "[" in text or "{" in text
            continue
        if any(name in text for name in TENSORS):
            continue
        value = number(record["value"])
        assert same(ours, value), text
        compared += 1
    assert compared >= 80


def test_live_expressions(kit):
    texts = [text for line in TRICKY.splitlines() for text in line.split(" ; ")]
    json_features = {"nan": "NaN", "inf": "Infinity"}
    given_features = {n: json_features.get(n, v) for n, v in FEATURES.items()}
    lines = [json.dumps({"expression": t, "features": given_features}) for t in texts]
    answers = kit("expr", lines=lines)
    for text, answer in zip(texts, answers, strict=True):
        assert answer["ok"], answer
        assert same(evaluate(text), number(answer["value"])), text


def test_every_golden_normalizer(kit_golden):
    for line in lines_of(kit_golden / "normalizers.jsonl"):
        record = json.loads(line)
        values = np.array([number(v) for v in record["input"]["values"]], float)
        with np.errstate(all="ignore"):
            if record["input"]["normalizer"] == "linear":
                ours = normalize_linear(values)
            else:
                ours = reciprocal_rank(values, record["input"]["k"])
        vespas = [number(v) for v in record["values"]]
        np.testing.assert_allclose(ours, vespas, rtol=1e-14, atol=1e-15, err_msg=line)


names = st.sampled_from(["a", "b", "c", "bm25(caption)", "query(alpha)"])
numbers = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


def leaf(name):
    head, _, argument = name.rstrip(")").partition("(")
    return Call(head, (Name(argument),)) if argument else Name(head)


def extend(trees):
    functions = st.sampled_from(sorted(FUNCTIONS)).flatmap(
        lambda name: st.builds(
            lambda *arguments: Call(name, arguments), *[trees] * FUNCTIONS[name][0]
        )
    )
    return st.one_of(
        st.builds(Negative, trees),
        st.builds(Not, trees),
        st.builds(Binary, st.sampled_from(PRECEDENCE), trees, trees),
        st.builds(In, trees, st.lists(trees, min_size=1, max_size=3).map(tuple)),
        st.builds(If, trees, trees, trees),
        functions,
    )


trees = st.recursive(st.one_of(st.builds(Number, numbers), names.map(leaf)), extend, max_leaves=12)


@settings(deadline=None)
@given(trees)
def test_what_is_written_parses_to_the_same(tree):
    expression = parse(write(tree))
    assert expression.tree == tree
    assert parse(str(expression)) == expression


@settings(deadline=None)
@given(trees, st.lists(st.floats(), min_size=5, max_size=5), st.lists(st.floats(), min_size=5))
def test_arrays_give_what_numbers_give(tree, first, others):
    expression = parse(write(tree))
    columns = {
        name: np.resize(np.roll(np.array(first + others), shift), 5)
        for shift, name in enumerate(["a", "b", "c", "bm25(caption)", "query(alpha)"])
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = np.broadcast_to(expression.evaluate(columns), 5)
        for row in range(5):
            one = expression.evaluate({name: float(v[row]) for name, v in columns.items()})
            np.testing.assert_allclose(whole[row], one, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("text", "says", "column"),
    [
        ("2 * nativeRank(caption)", "nativeRank", 4),
        ("1 + reduce(a, sum)", "works on tensors", 4),
        ("sum(query(q) * attribute(e))", "sum works on tensors", 0),
        ("query(q){x:2}", "Tensor slices", 8),
        ("max(1, 2, 3)", "takes 2 arguments", 0),
        ("a +", "found the end", 3),
        ("(a", "Expected ')'", 2),
        ("a b", "Unexpected 'b'", 2),
        ("a = b", "Unexpected '='", 2),
        ('"text" + 1', "only be compared", 0),
        ("fieldMatch(c).completeness", "Outputs of features", 13),
        ("closeness(label, x)", "closeness(field, embedding)", 0),
        ("bm25(a, b)", "name of a field", 0),
        ("normalize_linear(a + 1)", "name of a function", 19),
        ("reciprocal_rank(a, query(k))", "is a number", 0),
        ("reciprocal_rank_fusion(a)", "at least two", 0),
        ("if (a, b)", "condition and two values", 0),
        ("(" * 200 + "a" + ")" * 200, "nests deeper", 100),
        ("^".join("a" * 200), "nests deeper", 200),
    ],
)
def test_refused_by_name_with_a_pointer(text, says, column):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    message, line, caret = str(caught.value).splitlines()
    assert says in message
    # Of a long text the part around the fault is shown.
    assert line.strip().strip(".") in text
    assert f"{line} "[caret.index("^")] == f"{text} "[column]


def test_functions_are_put_in():
    functions = {"saturate(x, k)": "x / (x + k)", "lex": "bm25(c)", "both": "saturate(lex, 3) + a"}
    expression = parse("both * 2", functions)
    assert expression.features == {"bm25(c)", "a"}
    assert expression.evaluate({"bm25(c)": [1.0, 0.0], "a": 1}).tolist() == [2.5, 2.0]
    assert str(expression) == "both * 2"


# f is g + g is h + h ...: 2 ** 15 leaves.
DOUBLING = {m: f"{n} + {n}" for m, n in itertools.pairwise("fghijklmnopqrstu")} | {"u": "1"}


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        ({"f": "g + 1", "g": "f"}, "calls itself"),
        ({"f(x)": "x"}, "takes 1 arguments"),
        ({"f": "nativeRank(c)"}, "nativeRank"),
        ({"f": "1", "max": "2"}, "reserved name in Vespa"),
        ({"f": "1", "3 + x": "2"}, "is declared by"),
        (DOUBLING, "too large"),
        ({"f": "1", "f(x)": "x"}, "two functions f"),
        ({"f": "1 + g", "g": "-".join(["2"] * 200)}, "deeper than 200 levels"),
    ],
)
def test_functions_at_fault(functions, says):
    with pytest.raises(ExpressionError, match=says):
        parse("f", functions)


def test_too_many_terms_are_one_sentence():
    with pytest.raises(ExpressionError, match="more than 200 levels, or terms in a row"):
        parse("+".join(["1"] * 9_000))
    with pytest.raises(ExpressionError, match="more than 20,000 characters"):
        parse("+".join(["1"] * 30_000))
    assert parse("+".join(["1"] * 200)).evaluate({}) == 200


def test_an_argument_may_be_called_as_a_function_is():
    functions = {"sat(x, half)": "x / (x + half)", "half(v)": "v / 2", "f(f)": "f"}
    assert parse("sat(8, half(16)) + f(1)", functions).evaluate({}) == 1.5


def test_a_missing_feature_is_named():
    with pytest.raises(ExpressionError, match=r"bm25\(c\), query\(k\)"):
        parse("bm25(c) + query(k) + a").evaluate({"a": 1})


def test_renaming_reaches_every_place():
    expression = parse("if (bm25(a) in [bm25(a)], -bm25(a), !bm25(a)) + max(bm25(a), bm25(b))")
    renamed = expression.rename({"bm25(a)": "bm25(x)"})
    assert renamed.features == {"bm25(x)", "bm25(b)"}
    assert parse(str(renamed)) == renamed


def test_a_normalizer_of_a_constant_ranks_the_window():
    ranks = parse("reciprocal_rank(query(k))").evaluate({"query(k)": 3.0, "a": np.zeros(3)})
    np.testing.assert_allclose(ranks, [1 / 61, 1 / 62, 1 / 63])
