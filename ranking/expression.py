"""Ranking expressions: parsed once, evaluated over arrays of documents.

    >>> blend = parse("query(alpha) * vec + lex", {"vec": "closeness(field,e)", "lex": "bm25(c)"})
    >>> sorted(blend.features)
    ['bm25(c)', 'closeness(field,e)', 'query(alpha)']
    >>> blend.evaluate({"query(alpha)": 2, "closeness(field,e)": [0.5, 1], "bm25(c)": [3, 0]})
    array([4., 2.])

The language is the scalar part of Vespa's (docs/profiles.md lists it); values are doubles, and
agree with Vespa's own evaluator, NaN and infinities included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranking.expression_functions import (
    FUNCTIONS,
    OPERATORS,
    Values,
    choose,
    is_member,
    normalize_linear,
    reciprocal_rank,
)
from ranking.expression_inline import FEATURES, NORMALIZERS, inline, parse_signature, rename
from ranking.expression_parser import ExpressionError, parse_tree
from ranking.expression_tree import (
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

__all__ = ["Expression", "ExpressionError", "parse", "parse_signature"]

Features = Mapping[str, Values]
Compiled = Callable[[Features], Values]


@dataclass(frozen=True)
class Expression:
    """A ranking expression: `tree` as it was written, `flat` with its functions put in."""

    tree: Node
    flat: Node

    def __str__(self) -> str:
        return write(self.tree)

    @cached_property
    def features(self) -> frozenset[str]:
        """Canonical names of all rank features and named numbers that the value depends on."""
        return frozenset(_read(self.flat))

    @cached_property
    def normalizes(self) -> bool:
        """Whether it compares hits with each other, which only a global phase can."""
        return any(isinstance(n, Call) and n.name in NORMALIZERS for n in walk(self.flat))

    def rename(self, names: Mapping[str, str]) -> Expression:
        """Return it with features, by canonical name, replaced: {"bm25(a)": "bm25(b)"}."""
        return Expression(rename(self.tree, names), rename(self.flat, names))

    def evaluate(self, features: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Return the value for each document, float64, of the features' common shape.

        features: canonical name -> number, or array [documents]. The result has shape () where
        no feature that it reads is an array. Normalizers take the array as the window of hits.

        Raises ExpressionError naming the features that are missing.
        """
        missing = self.features - features.keys()
        if missing:
            raise ExpressionError(f"No value for {', '.join(sorted(missing))} in: {self}")
        values = {name: _doubles(value) for name, value in features.items()}
        with np.errstate(all="ignore"):
            return np.asarray(self._compiled(values), np.float64)

    @cached_property
    def _compiled(self) -> Compiled:
        return _compile(self.flat)


def parse(text: str, functions: Mapping[str, str] | None = None) -> Expression:
    """Parse an expression.

    functions: signature -> expression, the signature a name or a name with arguments
    ("saturate(x, k)").

    Raises ExpressionError with a pointer to what cannot be read or is not supported.
    """
    tree = parse_tree(text)
    return Expression(tree, inline(tree, functions or {}, text))


def _doubles(value: ArrayLike) -> Values:
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value
    return np.asarray(value, np.float64)[()]


def _is_feature(node: Node) -> bool:
    return isinstance(node, Name) or (isinstance(node, Call) and node.name in FEATURES)


def _read(node: Node) -> Iterator[str]:
    """Names of the features below `node`, without looking into a feature's own arguments."""
    if _is_feature(node):
        yield write(node)
        return
    for child in children(node):
        yield from _read(child)


def _compile(node: Node) -> Compiled:
    compiled = _closure(node)
    constant = not any(_is_feature(n) or _normalizer(n) for n in walk(node))
    if not constant or isinstance(node, Number | Text):
        return compiled
    with np.errstate(all="ignore"):
        value = compiled({})
    return lambda _: value


def _normalizer(node: Node) -> bool:
    return isinstance(node, Call) and node.name in NORMALIZERS


def _closure(node: Node) -> Compiled:  # noqa: PLR0911 - one for each kind of node
    match node:
        case Number(value=value):
            number = np.float64(value)
            return lambda _: number
        case Name() | Call() if _is_feature(node):
            name = write(node)
            return lambda features: features[name]
        case Call(name=name, arguments=arguments) if name in NORMALIZERS:
            return _normalizing(name, arguments)
        case Call(name=name, arguments=arguments):
            return _function(FUNCTIONS[name][1], [_compile(a) for a in arguments])
        case Negative(operand=operand):
            return _function(np.negative, [_compile(operand)])
        case Not(operand=operand):
            return _function(lambda x: OPERATORS["=="](x, np.float64(0)), [_compile(operand)])
        case Binary():
            return _operation(node)
        case In():
            return _membership(node)
        case If(condition=condition, then=then, otherwise=otherwise):
            return _choice(_compile(condition), _compile(then), _compile(otherwise))
        case _:
            raise ExpressionError(f"Text can only be compared with ==, != and in: {write(node)}")


def _function(compute: Callable[..., Values], arguments: list[Compiled]) -> Compiled:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda features: compute(only(features))
    first, second = arguments
    return lambda features: compute(first(features), second(features))


def _operation(node: Binary) -> Compiled:
    if not (isinstance(node.left, Text) or isinstance(node.right, Text)):
        return _function(OPERATORS[node.operator], [_compile(node.left), _compile(node.right)])
    same = node.left == node.right
    value = np.float64(same if node.operator == "==" else not same)
    return lambda _: value


def _membership(node: In) -> Compiled:
    if isinstance(node.operand, Text):
        found = np.float64(node.operand in node.members)
        return lambda _: found
    operand = _compile(node.operand)
    members = [_compile(m) for m in node.members if not isinstance(m, Text)]
    return lambda features: is_member(operand(features), [m(features) for m in members])


def _choice(condition: Compiled, then: Compiled, otherwise: Compiled) -> Compiled:
    def value(features: Features) -> Values:
        chosen = condition(features)
        if np.ndim(chosen) == 0:
            return then(features) if chosen != 0 else otherwise(features)
        return choose(chosen, then(features), otherwise(features))

    return value


def _normalizing(name: str, arguments: tuple[Node, ...]) -> Compiled:
    if name == "normalize_linear":
        return _over_hits(normalize_linear, _compile(arguments[0]))
    if name == "reciprocal_rank":
        k = arguments[1] if len(arguments) == 2 else Number(60.0)
        constant = k.value if isinstance(k, Number) else 60.0
        return _over_hits(lambda hits: reciprocal_rank(hits, constant), _compile(arguments[0]))
    ranks = [_over_hits(reciprocal_rank, _compile(argument)) for argument in arguments]
    return lambda features: sum((rank(features) for rank in ranks), start=np.float64(0))


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
