"""The public API of ranking expressions: parse and evaluate.

    >>> blend = parse("query(alpha) * vec + lex", {"vec": "closeness(field,e)", "lex": "bm25(c)"})
    >>> sorted(blend.features)
    ['bm25(c)', 'closeness(field,e)', 'query(alpha)']
    >>> blend.evaluate({"query(alpha)": 2, "closeness(field,e)": [0.5, 1], "bm25(c)": [3, 0]})
    array([4., 2.])

The language is the scalar part of Vespa's (docs/profiles.md lists it); values are doubles, and
agree with Vespa's own evaluator, NaN and infinities included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranking.expressions.compiler import Compiled, Compiler, Features
from ranking.expressions.functions import Values
from ranking.expressions.inline import inline, is_feature, is_normalizer, parse_signature, rename
from ranking.expressions.parser import parse_tree
from ranking.expressions.tokens import ExpressionError
from ranking.expressions.tree import Node, children, walk, write

__all__ = ["Expression", "ExpressionError", "parse", "parse_signature"]

# Documents evaluated at a time: so few that intermediate arrays stay in the cache.
_BLOCK = 1 << 14


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
        return any(map(is_normalizer, walk(self.flat)))

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
        # A normalizer of a constant still ranks the window, which any array tells the size of.
        read = features.keys() if self.normalizes else self.features
        values = {name: _doubles(features[name]) for name in read}
        rows = max((v.size for v in values.values() if isinstance(v, np.ndarray)), default=0)
        with np.errstate(all="ignore"):
            if rows > _BLOCK and not self.normalizes:
                return self._evaluate_by_blocks(values, rows)
            return np.asarray(self._compiled(values), np.float64)

    def _evaluate_by_blocks(self, values: Features, rows: int) -> NDArray[np.float64]:
        found = np.empty(rows)
        for start in range(0, rows, _BLOCK):
            block = slice(start, start + _BLOCK)
            part = {n: v[block] if isinstance(v, np.ndarray) else v for n, v in values.items()}
            found[block] = self._compiled(part)
        return found

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiler(self.flat).compile(self.flat)


def parse(text: str, functions: Mapping[str, str] | None = None) -> Expression:
    """Parse an expression.

    functions: signature -> expression, the signature a name or a name with arguments
    ("saturate(x, k)").

    Raises ExpressionError with a pointer to what cannot be read or is not supported.
    """
    return _parse(text, tuple((functions or {}).items()))


@lru_cache(maxsize=2048)
def _parse(text: str, functions: tuple[tuple[str, str], ...]) -> Expression:
    """Profiles that inherit from one another hold the same expressions many times over."""
    tree = parse_tree(text)
    return Expression(tree, inline(tree, dict(functions), text))


def _doubles(value: ArrayLike) -> Values:
    if isinstance(value, np.float64) or (
        isinstance(value, np.ndarray) and value.dtype == np.float64
    ):
        return value
    return np.asarray(value, np.float64)[()]


def _read(node: Node) -> Iterator[str]:
    """Names of the features below `node`, without looking into a feature's own arguments."""
    if is_feature(node):
        yield write(node)
        return
    for child in children(node):
        yield from _read(child)
