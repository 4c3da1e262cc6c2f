"""Ranges of values, and whether they only rise or only fall with what they were computed from.

Interval arithmetic (Moore, Interval Analysis, 1966) with a direction beside each interval. What
may be NaN is UNKNOWN, unless it is NaN whatever the features are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan, pi

import numpy as np

from ranking.expressions.functions import FUNCTIONS, OPERATORS

__all__ = ["UNKNOWN", "Range", "applied", "combined", "constant", "either", "negative"]

# Where sine and cosine are flat, a rounding error over the edge of a piece changes nothing.
FLAT = 1e-9
COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "~="})

# Function -> pieces (from, to, 1 where it rises and -1 where it falls). Those that jump are not
# here: a rounding error would be a jump too.
Pieces = tuple[tuple[float, float, int], ...]
ALWAYS: Pieces = ((-inf, inf, 1),)
FROM_ZERO: Pieces = ((0.0, inf, 1),)
VALLEY: Pieces = ((-inf, 0.0, -1), (0.0, inf, 1))
PIECES: dict[str, Pieces] = {
    **dict.fromkeys(("atan", "elu", "erf", "exp", "relu", "sigmoid", "sinh", "tanh"), ALWAYS),
    **dict.fromkeys(("log", "log10", "sqrt"), FROM_ZERO),
    **dict.fromkeys(("abs", "fabs", "cosh", "square"), VALLEY),
    "acos": ((-1.0, 1.0, -1),),
    "asin": ((-1.0, 1.0, 1),),
    "cos": ((-pi - FLAT, FLAT, 1), (-FLAT, pi + FLAT, -1), (pi - FLAT, 2 * pi + FLAT, 1)),
    "sin": ((-pi / 2 - FLAT, pi / 2 + FLAT, 1), (pi / 2 - FLAT, 3 * pi / 2 + FLAT, -1)),
    "tan": ((FLAT - pi / 2, pi / 2 - FLAT, 1),),
}


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`; whether they never fall, or never rise, with the features."""

    low: float
    high: float
    rises: bool
    falls: bool

    @property
    def fixed(self) -> bool:
        """Whether it is one number (or always NaN)."""
        return self.rises and self.falls

    @property
    def undefined(self) -> bool:
        """Whether it is always NaN."""
        return isnan(self.low)


UNKNOWN = Range(-inf, inf, rises=False, falls=False)


def constant(value: float) -> Range:
    """One number."""
    return Range(float(value), float(value), rises=True, falls=True)


def negative(a: Range) -> Range:
    """-a."""
    return Range(-a.high, -a.low, rises=a.falls, falls=a.rises)


def either(a: Range, b: Range) -> Range:
    """One of two, always the same one for all documents that are compared."""
    low, high = min(a.low, b.low), max(a.high, b.high)
    return Range(low, high, rises=a.rises and b.rises, falls=a.falls and b.falls)


def combined(operator: str, a: Range, b: Range) -> Range:
    """The range of `a operator b`."""
    if a.fixed and b.fixed:
        return _folded(OPERATORS[operator], a, b)
    if operator in COMPARISONS:
        return _comparison(operator, a, b)
    if operator in ("&&", "||"):
        return _logical(operator, a, b)
    if a.undefined or b.undefined:
        return constant(np.nan) if operator in "+-*/" else UNKNOWN
    return ARITHMETIC[operator](a, b) if operator in ARITHMETIC else UNKNOWN


def applied(name: str, arguments: list[Range]) -> Range:
    """The range of a function's value."""
    if all(argument.fixed for argument in arguments):
        return _folded(FUNCTIONS[name][1], *arguments)
    if any(argument.undefined for argument in arguments):
        return UNKNOWN
    if name == "pow":
        return combined("^", *arguments)
    if name in ("min", "max"):
        return _extreme(name, *arguments)
    for start, end, direction in PIECES.get(name, ()):
        if start <= arguments[0].low and arguments[0].high <= end:
            return _monotone(FUNCTIONS[name][1], arguments[0], direction)
    return UNKNOWN


def _folded(compute: Callable[..., object], *arguments: Range) -> Range:
    with np.errstate(all="ignore"):
        return constant(float(np.asarray(compute(*(np.float64(a.low) for a in arguments)))))


def _monotone(compute: Callable[..., object], a: Range, direction: int) -> Range:
    low, high = (_folded(compute, constant(end)).low for end in (a.low, a.high))
    if isnan(low) or isnan(high):
        return UNKNOWN
    if direction > 0:
        return Range(low, high, rises=a.rises, falls=a.falls)
    return Range(high, low, rises=a.falls, falls=a.rises)


def _sum(a: Range, b: Range) -> Range:
    if (a.high == inf and b.low == -inf) or (b.high == inf and a.low == -inf):
        return UNKNOWN  # infinity minus infinity
    low, high = a.low + b.low, a.high + b.high
    return Range(low, high, rises=a.rises and b.rises, falls=a.falls and b.falls)


def _product(a: Range, b: Range) -> Range:
    if (_crosses(a) and _endless(b)) or (_crosses(b) and _endless(a)):
        return UNKNOWN  # 0 times infinity
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low, high = min(corners), max(corners)
    if b.fixed:
        a, b = b, a
    if a.fixed:
        turned = negative(b) if a.high < 0.0 else b
        return Range(low, high, rises=turned.rises, falls=turned.falls)
    rises = falls = False
    if a.low >= 0.0 and b.low >= 0.0:
        rises, falls = a.rises and b.rises, a.falls and b.falls
    elif a.high <= 0.0 and b.high <= 0.0:
        rises, falls = a.falls and b.falls, a.rises and b.rises
    elif a.low >= 0.0 and b.high <= 0.0:
        rises, falls = a.falls and b.rises, a.rises and b.falls
    elif a.high <= 0.0 and b.low >= 0.0:
        rises, falls = a.rises and b.falls, a.falls and b.rises
    return Range(low, high, rises=rises, falls=falls)


def _crosses(a: Range) -> bool:
    return a.low <= 0.0 <= a.high


def _endless(a: Range) -> bool:
    return inf in (a.high, -a.low)


def _inverse(a: Range) -> Range:
    if _crosses(a):
        return UNKNOWN
    return Range(1.0 / a.high, 1.0 / a.low, rises=a.falls, falls=a.rises)


def _power(a: Range, b: Range) -> Range:
    power = OPERATORS["^"]
    if b.fixed and (a.low > 0.0 or (a.low == 0.0 and b.low > 0.0)):
        return _monotone(lambda x: power(x, np.float64(b.low)), a, 1 if b.low >= 0.0 else -1)
    if a.fixed and a.low > 0.0:
        return _monotone(lambda x: power(np.float64(a.low), x), b, 1 if a.low >= 1.0 else -1)
    return UNKNOWN


def _extreme(name: str, a: Range, b: Range) -> Range:
    pick = min if name == "min" else max
    low, high = pick(a.low, b.low), pick(a.high, b.high)
    return Range(low, high, rises=a.rises and b.rises, falls=a.falls and b.falls)


def _comparison(operator: str, a: Range, b: Range) -> Range:
    if a.undefined or b.undefined:
        return constant(float(operator == "!="))
    if operator in ("<", "<="):
        return _comparison(operator.replace("<", ">"), b, a)
    apart = a.low > b.high or a.high < b.low
    if operator in ("==", "!=", "~="):
        if apart and operator != "~=":
            return constant(float(operator == "!="))
        return Range(0.0, 1.0, rises=False, falls=False)
    if apart:
        return constant(float(a.low > b.high))
    return Range(0.0, 1.0, rises=a.rises and b.falls, falls=a.falls and b.rises)


def _logical(operator: str, a: Range, b: Range) -> Range:
    """Of truth values, which are not negative."""
    if a.low < 0.0 or b.low < 0.0 or a.undefined or b.undefined:
        return Range(0.0, 1.0, rises=False, falls=False)
    if operator == "&&" and (a.high == 0.0 or b.high == 0.0):
        return constant(0.0)
    if operator == "||" and (a.low > 0.0 or b.low > 0.0):
        return constant(1.0)
    return Range(0.0, 1.0, rises=a.rises and b.rises, falls=a.falls and b.falls)


ARITHMETIC: dict[str, Callable[[Range, Range], Range]] = {
    "+": _sum,
    "-": lambda a, b: _sum(a, negative(b)),
    "*": _product,
    "/": lambda a, b: _product(a, _inverse(b)),
    "^": _power,
}
