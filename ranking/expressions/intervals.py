"""Interval arithmetic with monotonicity.

Interval arithmetic (Moore, Interval Analysis, 1966) with a direction beside each interval. What
may be NaN is UNKNOWN, unless it is NaN whatever the features are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan, pi

import numpy as np

from ranking.expressions.functions import FUNCTIONS, OPERATORS

__all__ = ["UNKNOWN", "Interval", "applied", "combined", "constant", "either", "negative"]

# Where sine and cosine are flat, a rounding error over the edge of a piece changes nothing.
FLAT = 1e-9
COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "~="})

# Function -> pieces (from, to, 1 where it increases and -1 where it decreases). Those that jump
# are not here: a rounding error would be a jump too.
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
class Interval:
    """Values from `low` to `high`; whether they never fall, or never rise, with the features."""

    low: float
    high: float
    increases: bool
    decreases: bool

    @property
    def fixed(self) -> bool:
        """Whether it is one number (or always NaN)."""
        return self.increases and self.decreases

    @property
    def undefined(self) -> bool:
        """Whether it is always NaN."""
        return isnan(self.low)


UNKNOWN = Interval(-inf, inf, increases=False, decreases=False)


def constant(value: float) -> Interval:
    """One number."""
    return Interval(float(value), float(value), increases=True, decreases=True)


def negative(a: Interval) -> Interval:
    """-a."""
    return Interval(-a.high, -a.low, increases=a.decreases, decreases=a.increases)


def either(a: Interval, b: Interval) -> Interval:
    """One of two, always the same one for all documents that are compared."""
    return _with_both(a, b, min(a.low, b.low), max(a.high, b.high))


def _with_both(a: Interval, b: Interval, low: float, high: float) -> Interval:
    """Values that rise where both do, and fall where both do."""
    increases, decreases = a.increases and b.increases, a.decreases and b.decreases
    return Interval(low, high, increases=increases, decreases=decreases)


def combined(operator: str, a: Interval, b: Interval) -> Interval:
    """The interval of `a operator b`."""
    if a.fixed and b.fixed:
        return _folded(OPERATORS[operator], a, b)
    if operator in COMPARISONS:
        return _comparison(operator, a, b)
    if operator in ("&&", "||"):
        return _logical(operator, a, b)
    if a.undefined or b.undefined:
        return constant(np.nan) if operator in "+-*/" else UNKNOWN
    return ARITHMETIC[operator](a, b) if operator in ARITHMETIC else UNKNOWN


def applied(name: str, arguments: list[Interval]) -> Interval:
    """The interval of a function's value."""
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


def _folded(compute: Callable[..., object], *arguments: Interval) -> Interval:
    with np.errstate(all="ignore"):
        return constant(float(np.asarray(compute(*(np.float64(a.low) for a in arguments)))))


def _monotone(compute: Callable[..., object], a: Interval, direction: int) -> Interval:
    low, high = (_folded(compute, constant(end)).low for end in (a.low, a.high))
    if isnan(low) or isnan(high):
        return UNKNOWN
    if direction > 0:
        return Interval(low, high, increases=a.increases, decreases=a.decreases)
    return Interval(high, low, increases=a.decreases, decreases=a.increases)


def _sum(a: Interval, b: Interval) -> Interval:
    if (a.high == inf and b.low == -inf) or (b.high == inf and a.low == -inf):
        return UNKNOWN  # infinity minus infinity
    return _with_both(a, b, a.low + b.low, a.high + b.high)


def _product(a: Interval, b: Interval) -> Interval:
    if (_crosses(a) and _endless(b)) or (_crosses(b) and _endless(a)):
        return UNKNOWN  # 0 times infinity
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low, high = min(corners), max(corners)
    if b.fixed:
        a, b = b, a
    if a.fixed:
        turned = negative(b) if a.high < 0.0 else b
        return Interval(low, high, increases=turned.increases, decreases=turned.decreases)
    increases = decreases = False
    if a.low >= 0.0 and b.low >= 0.0:
        increases, decreases = a.increases and b.increases, a.decreases and b.decreases
    elif a.high <= 0.0 and b.high <= 0.0:
        increases, decreases = a.decreases and b.decreases, a.increases and b.increases
    elif a.low >= 0.0 and b.high <= 0.0:
        increases, decreases = a.decreases and b.increases, a.increases and b.decreases
    elif a.high <= 0.0 and b.low >= 0.0:
        increases, decreases = a.increases and b.decreases, a.decreases and b.increases
    return Interval(low, high, increases=increases, decreases=decreases)


def _crosses(a: Interval) -> bool:
    return a.low <= 0.0 <= a.high


def _endless(a: Interval) -> bool:
    return inf in (a.high, -a.low)


def _inverse(a: Interval) -> Interval:
    if _crosses(a):
        return UNKNOWN
    return Interval(1.0 / a.high, 1.0 / a.low, increases=a.decreases, decreases=a.increases)


def _power(a: Interval, b: Interval) -> Interval:
    power = OPERATORS["^"]
    if b.fixed and (a.low > 0.0 or (a.low == 0.0 and b.low > 0.0)):
        return _monotone(lambda x: power(x, np.float64(b.low)), a, 1 if b.low >= 0.0 else -1)
    if a.fixed and a.low > 0.0:
        return _monotone(lambda x: power(np.float64(a.low), x), b, 1 if a.low >= 1.0 else -1)
    return UNKNOWN


def _extreme(name: str, a: Interval, b: Interval) -> Interval:
    pick = min if name == "min" else max
    return _with_both(a, b, pick(a.low, b.low), pick(a.high, b.high))


def _comparison(operator: str, a: Interval, b: Interval) -> Interval:
    if a.undefined or b.undefined:
        return constant(float(operator == "!="))
    if operator in ("<", "<="):
        return _comparison(operator.replace("<", ">"), b, a)
    apart = a.low > b.high or a.high < b.low
    if operator in ("==", "!=", "~="):
        if apart and operator != "~=":
            return constant(float(operator == "!="))
        return Interval(0.0, 1.0, increases=False, decreases=False)
    if apart:
        return constant(float(a.low > b.high))
    return Interval(
        0.0, 1.0, increases=a.increases and b.decreases, decreases=a.decreases and b.increases
    )


def _logical(operator: str, a: Interval, b: Interval) -> Interval:
    """Of truth values, which are not negative."""
    if a.low < 0.0 or b.low < 0.0 or a.undefined or b.undefined:
        return Interval(0.0, 1.0, increases=False, decreases=False)
    if operator == "&&" and (a.high == 0.0 or b.high == 0.0):
        return constant(0.0)
    if operator == "||" and (a.low > 0.0 or b.low > 0.0):
        return constant(1.0)
    return _with_both(a, b, 0.0, 1.0)


ARITHMETIC: dict[str, Callable[[Interval, Interval], Interval]] = {
    "+": _sum,
    "-": lambda a, b: _sum(a, negative(b)),
    "*": _product,
    "/": lambda a, b: _product(a, _inverse(b)),
    "^": _power,
}
