"""Compile ranking expressions to programs of the native core's register machine.

A program decides which documents are candidates; scores that are shown come from
`Expression.evaluate`. See ranking/engine/kernels/program.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from typing import Any

import numpy as np

from ranking.expressions.functions import FUNCTIONS, OPERATORS
from ranking.expressions.tree import Binary, Call, If, Negative, Node, Not, Number, children, write

__all__ = ["Program", "compile_program"]

Step = tuple[int, int, int, int, float]
"""Operation, three registers it reads, and a number: one register's value."""


FEATURES = {"bm25": 0, "closeness": 1, "distance": 2}
HAS_CAPTION, HAS_VECTOR = 3, 4
# The order of `Operation` in program.h.
_NAMES = (
    *("constant", "feature", "if", "negative"),
    *("+", "-", "*", "/", "min", "max"),
    *(">=", ">", "<=", "<", "!=", "==", "&&", "||"),
    *("exp", "log", "log10", "sqrt", "tanh", "sigmoid", "atan", "cos", "acos", "square", "relu"),
    "abs",
)
_INEXACT = frozenset({"exp", "log", "log10", "tanh", "sigmoid", "atan", "cos", "acos"})
OPERATIONS = {name: code for code, name in enumerate(_NAMES)} | {"fabs": len(_NAMES) - 1}
CONSTANT, FEATURE, CHOICE, NEGATIVE = range(4)


@dataclass(eq=False)
class Program:
    """Steps in order, the last one's register is the value.

    native: what ranking/engine/native.py keeps for it.
    """

    steps: list[Step]
    native: Any = None

    @cached_property
    def exact(self) -> bool:
        """Whether values are those of `Expression.evaluate` to the bit.

        IEEE 754 defines the result of +, -, *, /, sqrt and comparisons, but not of exp and log.
        """
        return not any(_NAMES[code] in _INEXACT for code, *_ in self.steps)


class _UnsupportedError(Exception):
    """The machine lacks something that the expression needs."""


def compile_program(tree: Node, inputs: Mapping[str, float]) -> Program | None:
    """Translate a flat tree, inputs put in; None if it has what the machine lacks."""
    builder = _Builder(inputs)
    try:
        builder.register(tree)
    except _UnsupportedError:
        return None
    return Program(builder.steps)


class _Builder:
    def __init__(self, inputs: Mapping[str, float]) -> None:
        self.inputs = inputs
        self.steps: list[Step] = []
        self.known: dict[Node, int] = {}

    def register(self, node: Node) -> int:
        """Return the number of the register that holds the node's value."""
        if node not in self.known:
            code, below, number = self._operation(node)
            operands = [self.register(each) for each in below]
            if operands and all(self.steps[each][0] == CONSTANT for each in operands):
                code, number = CONSTANT, self._folded(node, operands)
                operands = []
            first, second, third = [*operands, 0, 0, 0][:3]
            self.steps.append((code, first, second, third, number))
            self.known[node] = len(self.steps) - 1
        return self.known[node]

    def _operation(  # noqa: PLR0911 - one for each kind of node
        self, node: Node
    ) -> tuple[int, tuple[Node, ...], float]:
        match node:
            case Number(value=value):
                return CONSTANT, (), value
            case Negative(operand=operand):
                return NEGATIVE, (operand,), 0.0
            case Not(operand=operand):
                return OPERATIONS["=="], (operand, Number(0.0)), 0.0
            case If():
                return CHOICE, children(node), 0.0
            case Binary(operator=operator) if operator in OPERATIONS:
                return OPERATIONS[operator], children(node), 0.0
            case Call(name=name) if name in OPERATIONS and name in FUNCTIONS:
                return OPERATIONS[name], children(node), 0.0
            case Call():
                return self._feature(node)
            case _:
                raise _UnsupportedError

    def _feature(self, node: Call) -> tuple[int, tuple[Node, ...], float]:
        name = write(node)
        if node.name == "query" and isfinite(self.inputs.get(name, nan)):
            return CONSTANT, (), float(self.inputs[name])
        if node.name in FEATURES:
            return FEATURE, (), FEATURES[node.name]
        if name == "attribute(has_caption)":
            return FEATURE, (), HAS_CAPTION
        if name.startswith("attribute(has_vector"):
            return FEATURE, (), HAS_VECTOR
        raise _UnsupportedError

    def _folded(self, node: Node, operands: list[int]) -> float:
        values = [np.float64(self.steps[each][4]) for each in operands]
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
