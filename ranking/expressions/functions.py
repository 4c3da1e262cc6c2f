"""The functions of the language over float64 arrays, as in Vespa's Java evaluator.

Where numpy and Java part (powers of one, rounding, casts of NaN to whole numbers), Java is
followed. Each takes and returns float64 scalars or arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FUNCTIONS",
    "OPERATORS",
    "Values",
    "normalize_linear",
    "reciprocal_rank",
    "truth",
]

Values = np.float64 | NDArray[np.float64]

_LONG_MAX = 9.223372036854775807e18
_INT_MAX = 2.0**31 - 1
_FLOAT_MAX = float(np.finfo(np.float32).max)
_RANK_CONSTANT = 60.0


def truth(values: NDArray[np.bool_] | np.bool_) -> Values:
    """1 where true, 0 where false."""
    return values.astype(np.float64)


def _power(base: Values, exponent: Values) -> Values:
    # Java: NaN where |base| is 1 and the exponent infinite or NaN; C and numpy: 1.
    powers = np.power(base, exponent)
    undefined = ~np.isfinite(exponent) & (np.abs(base) == 1)
    return np.where(undefined, np.nan, powers) if np.any(undefined) else powers


def _approximately(left: Values, right: Values) -> Values:
    # One step of double precision apart; relative where the right side is beyond +-1.
    large = np.abs(right) > 1
    a = np.where(large, left / right, left)
    b = np.where(large, 1.0, right)
    return truth(np.nextafter(a, b) == b)


def _round(x: Values) -> Values:
    whole = np.floor(x)
    rounded = whole + (x - whole >= 0.5)
    return np.clip(np.where(np.isnan(x), 0.0, rounded), -_LONG_MAX, _LONG_MAX)


def _int(x: Values) -> NDArray[np.int64]:
    """Java's cast to int: towards zero, saturating, NaN to 0."""
    finite = np.clip(np.where(np.isnan(x), 0.0, x), -_INT_MAX - 1, _INT_MAX)
    return np.asarray(np.trunc(finite), np.int64)


def _bit(x: Values, position: Values) -> Values:
    index = _int(position)
    inside = (index >= 0) & (index < 8)
    shifted = (_int(x) & 0xFF) >> np.where(inside, index, 0)
    return np.asarray(np.where(inside, shifted & 1, 0), np.float64)


def _hamming(left: Values, right: Values) -> Values:
    return np.asarray(np.bitwise_count((_int(left) ^ _int(right)) & 0xFF), np.float64)


def _erf(x: Values) -> Values:
    # One number at a time: importing scipy for it would cost every command a quarter second.
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def _elu(x: Values) -> Values:
    return np.where(x < 0, np.exp(x) - 1, x)


OPERATORS: dict[str, Callable[[Values, Values], Values]] = {
    "||": lambda a, b: truth((a != 0) | (b != 0)),
    "&&": lambda a, b: truth((a != 0) & (b != 0)),
    ">=": lambda a, b: truth(a >= b),
    ">": lambda a, b: truth(a > b),
    "<=": lambda a, b: truth(a <= b),
    "<": lambda a, b: truth(a < b),
    "~=": _approximately,
    "!=": lambda a, b: truth(a != b),
    "==": lambda a, b: truth(a == b),
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": _power,
}

FUNCTIONS: dict[str, tuple[int, Callable[..., Values]]] = {
    "abs": (1, np.abs),
    "acos": (1, np.arccos),
    "asin": (1, np.arcsin),
    "atan": (1, np.arctan),
    "atan2": (2, np.arctan2),
    "bit": (2, _bit),
    "ceil": (1, np.ceil),
    "cos": (1, np.cos),
    "cosh": (1, np.cosh),
    "elu": (1, _elu),
    "erf": (1, _erf),
    "exp": (1, np.exp),
    "fabs": (1, np.abs),
    "floor": (1, np.floor),
    "fmod": (2, np.fmod),
    "hamming": (2, _hamming),
    "isNan": (1, lambda x: truth(np.isnan(x))),
    "ldexp": (2, lambda x, power: x * np.exp2(_int(power))),
    "log": (1, np.log),
    "log10": (1, np.log10),
    "max": (2, np.maximum),
    "min": (2, np.minimum),
    "pow": (2, _power),
    "relu": (1, lambda x: np.maximum(x, 0.0)),
    "round": (1, _round),
    "sigmoid": (1, lambda x: 1.0 / (1.0 + np.exp(-x))),
    "sign": (1, lambda x: np.where(x >= 0, 1.0, -1.0)),
    "sin": (1, np.sin),
    "sinh": (1, np.sinh),
    "sqrt": (1, np.sqrt),
    "square": (1, np.square),
    "tan": (1, np.tan),
    "tanh": (1, np.tanh),
}


def normalize_linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map the hits' values to 0..1 by their range; .5 where all are equal. Shape [hits].

    Values beyond the range of float do not set the range; NaN stays NaN.
    Source: https://docs.vespa.ai/en/ranking/phased-ranking.html#cross-hit-normalization
    """
    ranging = values[np.abs(values) < _FLOAT_MAX]
    low, high = (ranging.min(), ranging.max()) if len(ranging) else (0.0, 0.0)
    if low == high:
        return 0.5 + 0.0 * values
    normalized: NDArray[np.float64] = 0.5 + (values - (low + high) * 0.5) / (high - low)
    return normalized


def reciprocal_rank(values: NDArray[np.float64], k: float = _RANK_CONSTANT) -> NDArray[np.float64]:
    """1 / (k + rank), ranks from 1 for the highest; ties in the hits' order, NaN last."""
    order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    return 1.0 / (k + ranks)
