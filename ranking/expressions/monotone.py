"""Whether a first phase can only rise with BM25 and with closeness.

Where it can, the best hits are found without looking at every document that has a word of the
query: no document scores higher than its BM25 and the best closeness left would allow (the
threshold algorithm of Fagin, Lotem and Naor, PODS 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

from ranking.engine.segment.vectors import MAX_DISTANCE
from ranking.expressions.functions import FUNCTIONS
from ranking.expressions.ranges import UNKNOWN, Range, applied, combined, constant, either, negative
from ranking.expressions.tree import Binary, Call, If, Negative, Node, Not, Number, write
from ranking.types import Distance

__all__ = ["rises"]

# More than the BM25 of any text, and than any dot product of vectors that one would make.
MOST_BM25 = 1e9
MOST_PRODUCT = 1e80
FARTHEST: Mapping[Distance, float] = {
    "angular": pi,
    "prenormalized-angular": 2.0,
    "euclidean": MOST_PRODUCT,
}


def rises(
    node: Node,
    inputs: Mapping[str, float],
    distance: Distance | None,
    *,
    by_vector: bool = True,
) -> bool:
    """Return whether the value never falls as bm25 or closeness grow.

    Looked at are documents that have a caption, those with a vector and those without. inputs:
    values of `query(NAME)`. by_vector: whether the query has a vector; without one, every
    closeness is 0. False where it cannot be told.
    """
    near = _nearness(distance) if by_vector else constant(0.0)
    cases = (
        _Documents(1.0, near, inputs, distance),
        _Documents(0.0, constant(0.0), inputs, distance),
    )
    return all(case.range_of(node).rises for case in cases)


def _nearness(distance: Distance | None) -> Range:
    """Closeness of documents that have a vector."""
    if distance is None:
        return constant(0.0)
    if distance == "dotproduct":
        return Range(-MOST_PRODUCT, MOST_PRODUCT, rises=True, falls=False)
    return Range(1.0 / (1.0 + FARTHEST[distance]), 1.0, rises=True, falls=False)


@dataclass(frozen=True)
class _Documents:
    """Documents alike: all with a vector (`has_vector` 1), or all without (0)."""

    has_vector: float
    closeness: Range
    inputs: Mapping[str, float]
    distance: Distance | None

    def range_of(self, node: Node) -> Range:  # noqa: PLR0911 - one for each kind of node
        """The values that an expression can have."""
        match node:
            case Number(value=value):
                return constant(value)
            case Negative(operand=operand):
                return negative(self.range_of(operand))
            case Not(operand=operand):
                return combined("==", self.range_of(operand), constant(0.0))
            case Binary(operator="/") if self._saturates(node):
                return self._saturated(node)
            case Binary(operator=operator, left=left, right=right):
                return combined(operator, self.range_of(left), self.range_of(right))
            case If():
                return self._choice(node)
            case Call(name=name, arguments=arguments) if name in FUNCTIONS:
                return applied(name, [self.range_of(argument) for argument in arguments])
            case Call():
                return self._feature(node)
            case _:
                return UNKNOWN

    def _feature(self, node: Call) -> Range:
        match node.name:
            case "query" if write(node) in self.inputs:
                return constant(self.inputs[write(node)])
            case "attribute":
                has_caption = write(node) == "attribute(has_caption)"
                return constant(1.0 if has_caption else self.has_vector)
            case "bm25":
                return Range(0.0, MOST_BM25, rises=True, falls=False)
            case "closeness":
                return self.closeness
            case "distance":
                return self._distance()
            case _:
                return UNKNOWN

    def _distance(self) -> Range:
        if self.distance == "dotproduct":
            return negative(self.closeness)
        if self.closeness.high == 0.0:
            return constant(MAX_DISTANCE)
        return combined("-", combined("/", constant(1.0), self.closeness), constant(1.0))

    def _choice(self, node: If) -> Range:
        condition = self.range_of(node.condition)
        if condition.fixed:
            return self.range_of(node.otherwise if condition.low == 0.0 else node.then)
        then, otherwise = self.range_of(node.then), self.range_of(node.otherwise)
        found = either(then, otherwise)
        steps_up = condition.rises and then.low >= otherwise.high
        steps_down = condition.falls and then.high <= otherwise.low
        truth = condition.low >= 0.0
        return Range(
            found.low,
            found.high,
            rises=truth and found.rises and (steps_up or steps_down),
            falls=False,
        )

    def _saturates(self, node: Binary) -> bool:
        """Whether this is m x / (n x + c) with x >= 0 and fixed m >= 0, n > 0, c > 0."""
        above, m = self._scaled(node.left)
        if not (isinstance(node.right, Binary) and node.right.operator == "+"):
            return False
        for term, rest in (
            (node.right.left, node.right.right),
            (node.right.right, node.right.left),
        ):
            below, n = self._scaled(term)
            added = self.range_of(rest)
            if below == above and added.fixed and added.low > 0.0 and m >= 0.0 and n > 0.0:
                return self.range_of(below).low >= 0.0
        return False

    def _saturated(self, node: Binary) -> Range:
        left, right = self.range_of(node.left), self.range_of(node.right)
        ends = [combined("/", constant(a), constant(b)).low for a, b in _ends(left, right)]
        return Range(min(ends), max(ends), rises=left.rises, falls=left.falls)

    def _scaled(self, node: Node) -> tuple[Node, float]:
        """Return what is left of a product without its fixed factors, and their product."""
        if isinstance(node, Binary) and node.operator == "*":
            for factor, rest in ((node.left, node.right), (node.right, node.left)):
                value = self.range_of(factor)
                if value.fixed:
                    inner, scale = self._scaled(rest)
                    return inner, scale * value.low
        return node, 1.0


def _ends(left: Range, right: Range) -> tuple[tuple[float, float], tuple[float, float]]:
    return (left.low, right.low), (left.high, right.high)
