"""Whether a first phase can only rise with BM25 and with closeness.

Where it can, the best hits are found without looking at every document that has a word of the
query: no document scores higher than its BM25 and the best closeness left would allow (the
threshold algorithm of Fagin, Lotem and Naor, PODS 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

from ranking.expression_tree import Binary, Call, If, Name, Negative, Node, Number, write
from ranking.types import Distance

__all__ = ["rises"]

RISING = frozenset({"atan", "exp", "log", "log10", "sigmoid", "sqrt", "tanh", "min", "max"})


@dataclass(frozen=True)
class _Range:
    """Values from `low` to `high`; whether they never fall, or never rise, with the features."""

    low: float
    high: float
    rises: bool
    falls: bool

    @property
    def fixed(self) -> bool:
        return self.rises and self.falls


_UNKNOWN = _Range(-inf, inf, rises=False, falls=False)


def rises(node: Node, inputs: Mapping[str, float], distance: Distance | None) -> bool:
    """Return whether the value never falls as bm25 or closeness grow, attributes held fixed.

    inputs: values of `query(NAME)`. False where it cannot be told.
    """
    return _range(node, inputs, distance).rises


def _range(  # noqa: C901, PLR0911 - one case for each kind of node
    node: Node, inputs: Mapping[str, float], distance: Distance | None
) -> _Range:
    match node:
        case Number(value=value):
            return _Range(value, value, rises=True, falls=True)
        case Call(name="query"):
            value = inputs.get(write(node), inf)
            return _Range(value, value, rises=True, falls=True) if isfinite(value) else _UNKNOWN
        case Call(name="attribute"):
            return _Range(0.0, 1.0, rises=True, falls=True)
        case Call(name="bm25"):
            return _Range(0.0, inf, rises=True, falls=False)
        case Call(name="closeness"):
            unbounded = distance == "dotproduct"
            low, high = (-inf, inf) if unbounded else (0.0, 1.0)
            return _Range(low, high, rises=True, falls=False)
        case Negative(operand=operand):
            return _negative(_range(operand, inputs, distance))
        case Binary(operator=operator, left=left, right=right):
            found = _range(left, inputs, distance), _range(right, inputs, distance)
            if operator == "/" and _saturates(left, right, inputs, distance):
                return _Range(0.0, 1.0, rises=found[0].rises, falls=found[0].falls)
            return _operation(operator, *found)
        case If(condition=condition, then=then, otherwise=otherwise):
            found = _range(then, inputs, distance), _range(otherwise, inputs, distance)
            return _either(*found) if _fixed_truth(condition) else _UNKNOWN
        case Call(name=name, arguments=arguments) if name in RISING:
            return _rising(name, [_range(each, inputs, distance) for each in arguments])
        case _:
            return _UNKNOWN


def _negative(a: _Range) -> _Range:
    return _Range(-a.high, -a.low, rises=a.falls, falls=a.rises)


def _either(a: _Range, b: _Range) -> _Range:
    low, high = min(a.low, b.low), max(a.high, b.high)
    return _Range(low, high, rises=a.rises and b.rises, falls=a.falls and b.falls)


def _operation(operator: str, a: _Range, b: _Range) -> _Range:
    if operator == "-":
        operator, b = "+", _negative(b)
    if operator == "+":
        low, high = a.low + b.low, a.high + b.high
        return _Range(low, high, rises=a.rises and b.rises, falls=a.falls and b.falls)
    if operator == "*":
        return _product(a, b)
    if operator == "/" and b.fixed and b.low == b.high and b.low != 0:
        inverse = 1.0 / b.low
        return _product(a, _Range(inverse, inverse, rises=True, falls=True))
    return _UNKNOWN


def _product(a: _Range, b: _Range) -> _Range:
    if a.fixed and a.high < 0:
        return _negative(_product(_negative(a), b))
    if b.fixed and b.high < 0:
        return _negative(_product(a, _negative(b)))
    fixed = a.fixed or b.fixed
    if a.low < 0 and not (b.fixed and b.low >= 0):
        return _UNKNOWN
    if b.low < 0 and not (a.fixed and a.low >= 0):
        return _UNKNOWN
    corners = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return _Range(
        min(corners),
        max(corners),
        rises=a.rises and b.rises,
        falls=fixed and a.falls and b.falls,
    )


def _times(x: float, y: float) -> float:
    return 0.0 if 0.0 in (x, y) else x * y


def _saturates(
    left: Node, right: Node, inputs: Mapping[str, float], distance: Distance | None
) -> bool:
    """Return whether this is x / (x + c) with x >= 0 and a fixed c > 0, which rises with x."""
    if not (isinstance(right, Binary) and right.operator == "+" and right.left == left):
        return False
    added = _range(right.right, inputs, distance)
    return added.fixed and added.low > 0 and _range(left, inputs, distance).low >= 0


def _fixed_truth(node: Node) -> bool:
    """Whether a condition reads nothing but attributes, inputs and constants."""
    match node:
        case Number():
            return True
        case Call(name="attribute" | "query"):
            return True
        case Binary(left=left, right=right):
            return _fixed_truth(left) and _fixed_truth(right)
        case Negative(operand=operand):
            return _fixed_truth(operand)
        case Name() | _:
            return False


def _rising(name: str, arguments: list[_Range]) -> _Range:
    if name in ("log", "log10", "sqrt") and arguments[0].low < 0:
        return _UNKNOWN  # NaN below 0
    low, high = (0.0, 1.0) if name == "sigmoid" else (-inf, inf)
    if name in ("exp", "sqrt") or (name == "atan" and arguments[0].low >= 0):
        low = 0.0
    if name in ("min", "max"):
        low, high = min(a.low for a in arguments), max(a.high for a in arguments)
    return _Range(
        low, high, rises=all(a.rises for a in arguments), falls=all(a.falls for a in arguments)
    )
