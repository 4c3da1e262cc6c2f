"""Compile expression trees to closures over numpy arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ranking.expressions.functions import (
    FUNCTIONS,
    OPERATORS,
    Values,
    normalize_linear,
    reciprocal_rank,
    truth,
)
from ranking.expressions.inline import NORMALIZERS, is_feature, is_normalizer
from ranking.expressions.tokens import ExpressionError
from ranking.expressions.tree import (
    LEVEL,
    Binary,
    Call,
    If,
    In,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Text,
    children,
    walk,
    write,
)

__all__ = ["Compiled", "Compiler", "Features"]

Features = dict[str, Values]

Compiled = Callable[[Features], Values]


class Compiler:
    """Trees to closures over a dict of features.

    What has no feature is computed once; what stands in a tree twice, once for each evaluation.
    """

    def __init__(self, root: Node) -> None:
        counts = Counter(node for node in walk(root) if children(node) and not is_feature(node))
        self.repeated = {
            node: f"#{n}" for n, (node, times) in enumerate(counts.items()) if times > 1
        }

    def compile(self, node: Node) -> Compiled:
        """Return what computes `node` from a dict of features, which it may add to."""
        closure = self._closure(node)
        if not any(is_feature(below) or is_normalizer(below) for below in walk(node)):
            with np.errstate(all="ignore"):
                value = closure({})
            return lambda _: value
        key = self.repeated.get(node)
        return closure if key is None else _remembered(key, closure)

    def _closure(self, node: Node) -> Compiled:  # noqa: PLR0911 - one for each kind of node
        match node:
            case Number(value=value):
                number = np.float64(value)
                return lambda _: number
            case Name() | Call() if is_feature(node):
                name = write(node)
                return lambda features: features[name]
            case Call(name=name, arguments=arguments) if name in NORMALIZERS:
                return self._normalizer(name, arguments)
            case Call(name=name, arguments=arguments):
                return _function(FUNCTIONS[name][1], [self.compile(a) for a in arguments])
            case Negative(operand=operand):
                return _function(np.negative, [self.compile(operand)])
            case Not(operand=operand):
                return _function(_is_zero, [self.compile(operand)])
            case Binary():
                return self._operation(node)
            case In():
                return self._membership(node)
            case If():
                return _choice(*(self.compile(part) for part in children(node)))
            case _:
                raise ExpressionError(f"Text can only be compared, with ==, != or in: {node}")

    def _operation(self, node: Binary) -> Compiled:
        if not (isinstance(node.left, Text) or isinstance(node.right, Text)):
            operands = [self.compile(node.left), self.compile(node.right)]
            return _function(OPERATORS[node.operator], operands)
        same = node.left == node.right
        value = np.float64(same if node.operator == "==" else not same)
        return lambda _: value

    def _membership(self, node: In) -> Compiled:
        if isinstance(node.operand, Text):
            found = np.float64(node.operand in node.members)
            return lambda _: found
        operand = self.compile(node.operand)
        members = [self.compile(m) for m in node.members if not isinstance(m, Text)]
        if is_feature(node.operand) and node.operand in node.members:
            return lambda features: np.ones_like(operand(features))
        # Vespa's container compares a truth value by truth: (1 < 2) in [5] is true.
        logical = self._logical(node.operand)

        def value(features: Features) -> Values:
            found = [m(features) for m in members]
            return truth(_any_equal(operand(features), found, logical(features)))

        return value

    def _logical(self, node: Node) -> Compiled:
        """Whether a value is a truth value, 1 or 0: an `if` may choose between one and a number."""
        match node:
            case If(condition=condition, then=then, otherwise=otherwise):
                return _choice(
                    self.compile(condition), self._logical(then), self._logical(otherwise)
                )
            case Not() | In() | Number(truth=True):
                return lambda _: np.float64(1)
            case Binary(operator=operator) if LEVEL[operator] < LEVEL["+"]:
                return lambda _: np.float64(1)
            case _:
                return lambda _: np.float64(0)

    def _normalizer(self, name: str, arguments: tuple[Node, ...]) -> Compiled:
        if name == "normalize_linear":
            return _over_hits(normalize_linear, self.compile(arguments[0]))
        if name == "reciprocal_rank":
            k = arguments[1] if len(arguments) == 2 else None
            rank = partial(reciprocal_rank, k=k.value) if isinstance(k, Number) else reciprocal_rank
            return _over_hits(rank, self.compile(arguments[0]))
        ranks = [_over_hits(reciprocal_rank, self.compile(argument)) for argument in arguments]
        return lambda features: sum((rank(features) for rank in ranks), start=np.float64(0))


def _any_equal(operand: Values, members: list[Values], logical: Values) -> NDArray[np.bool_]:
    found = np.zeros(np.shape(operand), np.bool_)
    for member in members:
        alike = (operand != 0) == (member != 0)
        found = found | np.where(logical, alike, operand == member)
    return found


def _is_zero(x: Values) -> Values:
    return OPERATORS["=="](x, np.float64(0))


def _remembered(key: str, closure: Compiled) -> Compiled:
    def value(features: Features) -> Values:
        found = features.get(key)
        if found is None:
            found = features[key] = closure(features)
        return found

    return value


def _function(compute: Callable[..., Values], arguments: list[Compiled]) -> Compiled:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda features: compute(only(features))
    first, second = arguments
    return lambda features: compute(first(features), second(features))


def _choice(condition: Compiled, then: Compiled, otherwise: Compiled) -> Compiled:
    """`if`: computes a branch only where some document takes it."""

    def value(features: Features) -> Values:
        true = condition(features) != 0
        if true.all():
            return then(features)
        if not true.any():
            return otherwise(features)
        return np.where(true, then(features), otherwise(features))

    return value


def _over_hits(
    normalize: Callable[[NDArray[np.float64]], NDArray[np.float64]], operand: Compiled
) -> Compiled:
    def value(features: Features) -> Values:
        hits = operand(features)
        if np.ndim(hits) == 0:
            sizes = {len(v) for v in features.values() if isinstance(v, np.ndarray) and v.ndim}
            hits = np.full(max(sizes, default=1), hits)
        return normalize(np.asarray(hits))

    return value
