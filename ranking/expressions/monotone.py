"""Whether a first phase never decreases as BM25 and closeness increase.

Where it does not, the best hits are found without looking at every document that has a word of the
query: no document scores higher than its BM25 and the best closeness left would allow (the
threshold algorithm of Fagin, Lotem and Naor, PODS 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ranking.distances import LARGEST_DISTANCE, MAX_DISTANCE, MOST_PRODUCT, Distance
from ranking.expressions.functions import FUNCTIONS
from ranking.expressions.intervals import (
    UNKNOWN,
    Interval,
    applied,
    combined,
    constant,
    either,
    negative,
)
from ranking.expressions.tree import Binary, Call, If, Negative, Node, Not, Number, write

__all__ = ["increases"]

_HAS_VECTOR = "attribute(has_vector"
# More than the BM25 of any text.
MOST_BM25 = 1e9


def increases(
    node: Node,
    inputs: Mapping[str, float],
    distance: Distance | None,
    *,
    by_vector: bool = True,
) -> bool:
    """Return whether the value never decreases as bm25 or closeness grow.

    Looked at are documents that have a caption, those with a vector and those without. inputs:
    values of `query(NAME)`. by_vector: whether the query has a vector; without one, every
    closeness is 0. False where it cannot be told.
    """
    near = _nearness(distance) if by_vector else constant(0.0)
    cases = (
        _Documents(1.0, near, inputs, distance),
        _Documents(0.0, constant(0.0), inputs, distance),
    )
    return all(case.interval_of(node).increases for case in cases)


def _nearness(distance: Distance | None) -> Interval:
    """Closeness of documents that have a vector."""
    if distance is None:
        return constant(0.0)
    if distance == "dotproduct":
        return Interval(-MOST_PRODUCT, MOST_PRODUCT, increases=True, decreases=False)
    return Interval(1.0 / (1.0 + LARGEST_DISTANCE[distance]), 1.0, increases=True, decreases=False)


@dataclass(frozen=True)
class _Documents:
    """Documents alike: all with a vector (`has_vector` 1), or all without (0)."""

    has_vector: float
    closeness: Interval
    inputs: Mapping[str, float]
    distance: Distance | None

    def interval_of(self, node: Node) -> Interval:  # noqa: PLR0911 - one for each kind of node
        """The values that an expression can have."""
        match node:
            case Number(value=value):
                return constant(value)
            case Negative(operand=operand):
                return negative(self.interval_of(operand))
            case Not(operand=operand):
                return combined("==", self.interval_of(operand), constant(0.0))
            case Binary(operator="/") if self._saturates(node):
                return self._saturated(node)
            case Binary(operator=operator, left=left, right=right):
                return combined(operator, self.interval_of(left), self.interval_of(right))
            case If():
                return self._choice(node)
            case Call(name=name, arguments=arguments) if name in FUNCTIONS:
                return applied(name, [self.interval_of(argument) for argument in arguments])
            case Call():
                return self._feature(node)
            case _:
                return UNKNOWN

    def _feature(self, node: Call) -> Interval:
        match node.name:
            case "query" if write(node) in self.inputs:
                return constant(self.inputs[write(node)])
            case "attribute":
                return self._attribute(write(node))
            case "bm25":
                return Interval(0.0, MOST_BM25, increases=True, decreases=False)
            case "closeness":
                return self.closeness
            case "distance":
                return self._distance()
            case _:
                return UNKNOWN

    def _attribute(self, name: str) -> Interval:
        if name == "attribute(has_caption)":
            return constant(1.0)
        return constant(self.has_vector) if name.startswith(_HAS_VECTOR) else UNKNOWN

    def _distance(self) -> Interval:
        if self.distance == "dotproduct":
            return negative(self.closeness)
        if self.closeness.high == 0.0:
            return constant(MAX_DISTANCE)
        return combined("-", combined("/", constant(1.0), self.closeness), constant(1.0))

    def _choice(self, node: If) -> Interval:
        condition = self.interval_of(node.condition)
        if condition.fixed:
            return self.interval_of(node.otherwise if condition.low == 0.0 else node.then)
        then, otherwise = self.interval_of(node.then), self.interval_of(node.otherwise)
        found = either(then, otherwise)
        up = condition.increases and then.low >= otherwise.high
        down = condition.decreases and then.high <= otherwise.low
        truth = condition.low >= 0.0
        return Interval(
            found.low,
            found.high,
            increases=truth and found.increases and (up or down),
            decreases=False,
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
            added = self.interval_of(rest)
            if below == above and added.fixed and added.low > 0.0 and m >= 0.0 and n > 0.0:
                return self.interval_of(below).low >= 0.0
        return False

    def _saturated(self, node: Binary) -> Interval:
        left, right = self.interval_of(node.left), self.interval_of(node.right)
        ends = [combined("/", constant(a), constant(b)).low for a, b in _ends(left, right)]
        return Interval(min(ends), max(ends), increases=left.increases, decreases=left.decreases)

    def _scaled(self, node: Node) -> tuple[Node, float]:
        """Return what is left of a product without its fixed factors, and their product."""
        if isinstance(node, Binary) and node.operator == "*":
            for factor, rest in ((node.left, node.right), (node.right, node.left)):
                value = self.interval_of(factor)
                if value.fixed:
                    inner, scale = self._scaled(rest)
                    return inner, scale * value.low
        return node, 1.0


def _ends(left: Interval, right: Interval) -> tuple[tuple[float, float], tuple[float, float]]:
    return (left.low, right.low), (left.high, right.high)
