"""Expressions drawn at random, and near misses of them, as Vespa's own parser and evaluator read
them: what it refuses is refused here, what it accepts has its value here or is refused by name.
"""

from __future__ import annotations

import json
import random

import pytest

from ranking.expressions.expression import ExpressionError, parse
from ranking.expressions.functions import FUNCTIONS
from ranking.expressions.tree import PRECEDENCE

COUNT = 3000
FEATURES = {"a": 0.5, "b": 2.0, "c": -3.25, "z": 0.0, "query(n)": 7.0, "bm25(caption)": 1.5}
NUMBERS = ["1", "2", "3.5", "0.25", "1e3", "2.", "1.5f", "1E-2", "0.0", "08", "12"]
TEXTS = ['"ct"', "'ct'", '"mr"', r'"\"q"', r"'\n'", r'"A"', '""']
CONSTANTS = ["true", "false"]
NAMES = [*FEATURES, "$n", "unknown", "in", "if", "f", "max", "switch", "1a", "x@y$"]
CALLED = sorted(FUNCTIONS.keys() - {"erf"})  # Vespa's own erf(NaN) never ends
HINTS = ["", "", ", 0.3", ", -0", ", 1", ", 2", ", (0.5)"]
NEAR = [
    *("--", "-", "!", "(", ")", ",", ".", "+", "=", "<>", "in", "[", "]", "$", "#", "0x1F", "10L"),
    *("1f", "true", "TRUE", '"', "'", "\\", "if", "f(x)(x)", "{x:1}", " ", "\n", ".5", "5.", "é"),
    *("9" * 20, "sum(a)", "switch", "unpack_bits", "not", "\u00a0", "\u0663", "::", "~", "&"),
]
BY_NAME = ("supported", "only be compared", "takes the name of a field", " arguments, not ")


def drawn(source: random.Random, depth: int = 4) -> str:
    """An expression of the language."""
    kinds = ("binary", "unary", "call", "if", "in", "parentheses", "text", "leaf")
    kind = source.choices(kinds, [4, 2, 2, 1, 1, 2, 0.3, 3])[0]
    if depth == 0 or kind == "leaf":
        return source.choice(source.choice([NUMBERS, NAMES, CONSTANTS, list(FEATURES)]))
    parts = [drawn(source, depth - 1) for _ in range(3)]
    name = source.choice(CALLED)
    space = source.choice(["", " ", " ", "\t"])
    written = {
        "binary": f"{parts[0]}{space}{source.choice(PRECEDENCE)}{space}{parts[1]}",
        "unary": source.choice(["-", "!", "- ", "!-", "--"]) + parts[0],
        "call": f"{name}({','.join(parts[: FUNCTIONS[name][0]])})",
        "if": f"if{space}({', '.join(parts)}{source.choice(HINTS)})",
        "in": f"({parts[0]} in [{', '.join(parts[1 : source.choice([2, 3])])}])",
        "parentheses": f"({parts[0]})",
        "text": f"({source.choice(TEXTS)} {source.choice(['==', '!='])} {source.choice(TEXTS)})",
    }
    return written[kind]


def missed(source: random.Random, text: str) -> str:
    """The same with something put in, left out, or twice."""
    at = source.randrange(len(text) + 1)
    end = min(at + source.randint(0, 2), len(text))
    put = source.choice(["", source.choice(NEAR), text[at:end] * 2])
    return text[:at] + put + text[end:]


def ours(text: str) -> float | str:
    """The value, or why it is refused."""
    try:
        expression = parse(text)
    except ExpressionError as error:
        return str(error)
    known = dict.fromkeys(expression.features, 0.0)
    return float(expression.evaluate({**known, **FEATURES}))


def fault(text: str, answer: dict[str, object]) -> str:
    """What is wrong with how we read `text`, or nothing."""
    found = ours(text)
    if not answer["ok"]:
        return "" if isinstance(found, str) else f"Vespa refuses it: {answer['error']}"
    if isinstance(found, str):
        by_name = any(reason in found for reason in BY_NAME)
        return "" if by_name else f"Vespa gives {answer['value']}; refused here: {found}"
    value = float(str(answer["value"]).replace("Infinity", "inf"))
    same = found == pytest.approx(value, rel=1e-12, abs=1e-300, nan_ok=True)
    return "" if same else f"{found}, Vespa {value}"


def test_vespas_parser_and_ours_agree_on_random_expressions(kit):
    source = random.Random(5)
    texts = [drawn(source) for _ in range(COUNT)]
    texts += [missed(source, text) for text in texts]
    answers = kit(
        "expr", lines=[json.dumps({"expression": t, "features": FEATURES}) for t in texts]
    )
    faults = {
        text: reason
        for text, answer in zip(texts, answers, strict=True)
        if (reason := fault(text, answer))
    }
    assert not faults
    assert sum(bool(answer["ok"]) for answer in answers) > COUNT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("switch (a) { case 1: 2, default: 3 }", "switch is not supported"),
        ("0x10 + 1", "cannot read 0x10"),
        ("1f", "cannot read 1f"),
        ("- - a", "constants only"),
        ("$1", "Expected a value"),
        ("if (a, 1, 2, (0.5))", "a probability"),
        (r'"\u00" == "a"', "escapes in a text"),
        ("top(1, a)", "works on tensors"),
    ],
)
def test_near_misses_are_refused_by_name(text, says):
    with pytest.raises(ExpressionError, match=says):
        parse(text)
