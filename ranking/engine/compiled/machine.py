"""Ranking expressions as programs of a small machine, for compiled code that scores documents.

A program computes one register after another, each for all documents; what stands in the tree
twice is computed once. The numbers are those of `Expression.evaluate`, but for the last bit of
exp, log and their like.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.expressions.functions import FUNCTIONS, OPERATORS
from ranking.expressions.tree import Binary, Call, If, Negative, Node, Not, Number, children, write

__all__ = ["BM25", "CAPTION", "CLOSENESS", "DISTANCE", "VECTOR", "Program", "program", "run"]

Doubles = NDArray[np.float64]

# Features, in the order of the rows that `run` takes.
BM25, CLOSENESS, DISTANCE, CAPTION, VECTOR = range(5)
CONSTANT, FEATURE, CHOICE = range(3)
BINARY = {name: 10 + n for n, name in enumerate(("+", "-", "*", "/"))}
BINARY |= {name: 20 + n for n, name in enumerate((">=", ">", "<=", "<", "!=", "==", "&&", "||"))}
BINARY |= {"min": 14, "max": 15}
UNARY = ("exp", "log", "log10", "sqrt", "tanh", "sigmoid", "atan", "cos", "acos", "square", "relu")
CODES = {name: 40 + n for n, name in enumerate(UNARY)} | {"abs": 51, "fabs": 51}
ADD, SUBTRACT, MULTIPLY, DIVIDE, LEAST, MOST, NEGATIVE = range(10, 17)
AT_LEAST, ABOVE, AT_MOST, BELOW, OTHER, SAME, BOTH, ANY = range(20, 28)
EXP, LOG, LOG10, SQRT, TANH, SIGMOID, ATAN, COS, ACOS, SQUARE, RELU, ABSOLUTE = range(40, 52)


class Program(NamedTuple):
    """What each register is: a code int64 [n], its operands int64 [n, 3], a number float64 [n]."""

    codes: NDArray[np.int64]
    operands: NDArray[np.int64]
    numbers: NDArray[np.float64]


class _UnsupportedError(Exception):
    """The machine lacks something that the expression needs."""


def program(tree: Node, inputs: Mapping[str, float]) -> Program | None:
    """Translate a flat tree, inputs put in; None where it has what the machine lacks."""
    builder = _Builder(inputs)
    try:
        builder.register(tree)
    except _UnsupportedError:
        return None
    codes, operands, numbers = zip(*builder.made, strict=True)
    return Program(
        np.array(codes, np.int64), np.array(operands, np.int64), np.array(numbers, np.float64)
    )


class _Builder:
    def __init__(self, inputs: Mapping[str, float]) -> None:
        self.inputs = inputs
        self.made: list[tuple[int, tuple[int, int, int], float]] = []
        self.known: dict[Node, int] = {}

    def register(self, node: Node) -> int:
        """Return the number of the register that holds the node's value."""
        if node not in self.known:
            code, below, number = self._instruction(node)
            operands = [self.register(each) for each in below]
            if operands and all(self.made[each][0] == CONSTANT for each in operands):
                code, number = CONSTANT, self._folded(node, operands)
                operands = []
            first, second, third = [*operands, 0, 0, 0][:3]
            self.made.append((code, (first, second, third), number))
            self.known[node] = len(self.made) - 1
        return self.known[node]

    def _instruction(  # noqa: PLR0911 - one for each kind of node
        self, node: Node
    ) -> tuple[int, tuple[Node, ...], float]:
        match node:
            case Number(value=value):
                return CONSTANT, (), value
            case Negative(operand=operand):
                return NEGATIVE, (operand,), 0.0
            case Not(operand=operand):
                return SAME, (operand, Number(0.0)), 0.0
            case If():
                return CHOICE, children(node), 0.0
            case Binary(operator=operator) if operator in BINARY:
                return BINARY[operator], children(node), 0.0
            case Call(name=name) if name in BINARY or name in CODES:
                return {**BINARY, **CODES}[name], children(node), 0.0
            case Call():
                return self._feature(node)
            case _:
                raise _UnsupportedError

    def _feature(self, node: Call) -> tuple[int, tuple[Node, ...], float]:
        rows = {"bm25": BM25, "closeness": CLOSENESS, "distance": DISTANCE}
        name = write(node)
        if node.name == "query" and isfinite(self.inputs.get(name, np.nan)):
            return CONSTANT, (), self.inputs[name]
        if node.name in rows:
            return FEATURE, (), rows[node.name]
        if name == "attribute(has_caption)":
            return FEATURE, (), CAPTION
        if name.startswith("attribute(has_vector"):
            return FEATURE, (), VECTOR
        raise _UnsupportedError

    def _folded(self, node: Node, operands: list[int]) -> float:
        values = [np.float64(self.made[each][2]) for each in operands]
        with np.errstate(all="ignore"):
            match node:
                case Negative():
                    return float(-values[0])
                case If():
                    return float(values[1] if values[0] != 0 else values[2])
                case Binary(operator=operator):
                    return float(OPERATORS[operator](*values))
                case Call(name=name):
                    return float(FUNCTIONS[name][1](*values))
                case _:
                    return float(values[0] == 0)


@compiled
def run(program: Program, features: Doubles) -> Doubles:
    """Compute the expression for each document: float64 [n]; features: float64 [5, n]."""
    codes, operands, numbers = program
    made = np.empty((len(codes), features.shape[1]))
    for out in range(len(codes)):
        code = codes[out]
        first, second, third = operands[out, 0], operands[out, 1], operands[out, 2]
        if code == CONSTANT:
            for each in range(made.shape[1]):
                made[out, each] = numbers[out]
        elif code == FEATURE:
            row = int(numbers[out])
            for each in range(made.shape[1]):
                made[out, each] = features[row, each]
        elif code == CHOICE:
            for each in range(made.shape[1]):
                a, b = made[second, each], made[third, each]
                made[out, each] = a if made[first, each] != 0.0 else b
        elif code < AT_LEAST:
            _calculate(code, made, first, second, out)
        elif code < EXP:
            _compare(code, made[first], made[second], made[out])
        else:
            _apply(code, made[first], made[out])
    found: Doubles = made[len(codes) - 1]
    return found


@compiled
def _calculate(  # noqa: C901 - a loop for each operation
    code: int, made: Doubles, first: int, second: int, out: int
) -> None:
    # A row taken out of an array costs more than a step over some dozen documents.
    if code == ADD:
        for each in range(made.shape[1]):
            made[out, each] = made[first, each] + made[second, each]
    elif code == SUBTRACT:
        for each in range(made.shape[1]):
            made[out, each] = made[first, each] - made[second, each]
    elif code == MULTIPLY:
        for each in range(made.shape[1]):
            made[out, each] = made[first, each] * made[second, each]
    elif code == DIVIDE:
        for each in range(made.shape[1]):
            made[out, each] = made[first, each] / made[second, each]
    elif code == NEGATIVE:
        for each in range(made.shape[1]):
            made[out, each] = -made[first, each]
    else:
        sign = 1.0 if code == LEAST else -1.0
        for each in range(made.shape[1]):
            a, b = made[first, each], made[second, each]
            # As numpy's minimum and maximum have it, NaN wins.
            made[out, each] = a if sign * a < sign * b or a != a else b  # noqa: PLR0124


@compiled
def _compare(code: int, first: Doubles, second: Doubles, out: Doubles) -> None:
    for each in range(len(out)):
        a, b = first[each], second[each]
        out[each] = (
            (code == AT_LEAST and a >= b)
            or (code == ABOVE and a > b)
            or (code == AT_MOST and a <= b)
            or (code == BELOW and a < b)
            or (code == OTHER and a != b)
            or (code == SAME and a == b)
            or (code == BOTH and a != 0.0 and b != 0.0)
            or (code == ANY and (a != 0.0 or b != 0.0))
        )


@compiled
def _apply(code: int, x: Doubles, out: Doubles) -> None:  # noqa: C901 - one for each function
    if code == EXP:
        np.exp(x, out)
    elif code == LOG:
        np.log(x, out)
    elif code == LOG10:
        np.log10(x, out)
    elif code == SQRT:
        np.sqrt(x, out)
    elif code == TANH:
        np.tanh(x, out)
    elif code == SIGMOID:
        out[:] = 1.0 / (1.0 + np.exp(-x))
    elif code == ATAN:
        np.arctan(x, out)
    elif code == COS:
        np.cos(x, out)
    elif code == ACOS:
        np.arccos(x, out)
    elif code == SQUARE:
        np.multiply(x, x, out)
    elif code == RELU:
        out[:] = np.maximum(x, 0.0)
    else:
        np.abs(x, out)
