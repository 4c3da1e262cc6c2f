"""Rewrite expressions so that Vespa's deployment does not change their value.

Vespa rewrites expressions when they are deployed, and its container computes constants and
features by rules of their own (measured with Vespa 8.700.24). Some forms come out as another
number, or as no expression at all; each has an equal form that does not:

    as it is written        what Vespa makes of it                   written for Vespa
    1 + (a && b)            1 + if (a, b, false): b, not its truth   1 + if (a && b, 1, 0)
    if (x in [1, 2], 5, 6)  false, but for x that is a feature       if (x == 1 || x == 2, 5, 6)
    2 ^ x, 2 < x            x ^ 2, x < 2, in the container           pow(2, x), x > 2
    0 * x                   0, where x is infinite too               abs(0) * x
    y - if (1, a - b, c)    y - a - b                                y - (a - b)
    if (!x, 1, 0)           2, in the container                      if (x == 0, 1, 0)
    -(-x)                   --x, which it cannot read                x
    1e999                   Infinity, a rank feature unheard of      -log(0)

Sources: com.yahoo.searchlib.rankingexpression.transform.Simplifier, .evaluation.DoubleValue,
.rule.SetMembershipNode; com.yahoo.schema.expressiontransforms.BooleanExpressionTransformer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

from ranking.expressions.compiler import Compiler
from ranking.expressions.expression import parse
from ranking.expressions.inline import is_feature, is_normalizer
from ranking.expressions.tree import (
    LEVEL,
    POWER,
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
    map_children,
    walk,
    write,
)

__all__ = ["for_vespa"]

_ZERO, _ONE = Number(0.0), Number(1.0)
_FALSE = Number(0.0, truth=True)
_MINUS_INFINITE = Call("log", (_ZERO,))
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_JUNCTIONS = ("&&", "||")


def for_vespa(text: str, functions: Mapping[str, str]) -> str:
    """Return an expression as it is written into a schema beside the profile's functions.

    Functions of arguments are put in. Vespa does so itself, but keeps their bodies, in which its
    check of rank features then finds arguments that are no feature.
    """
    of_arguments = {s: body for s, body in functions.items() if "(" in s}
    tree = parse(text, of_arguments).flat
    return write(tree if isinstance(tree, Name) else _Deployer(functions).value(tree))


class _Deployer:
    """Trees to trees; `functions` are those of the profile, without arguments where they stand."""

    def __init__(self, functions: Mapping[str, str]) -> None:
        self.functions = functions

    def value(self, node: Node) -> Node:
        """Return what, deployed, has the value that `node` has here."""
        made = self.rewritten(node)
        if _constant(made) and math.isinf(infinite := _value(made)):
            return _MINUS_INFINITE if infinite < 0 else Negative(_MINUS_INFINITE)
        if not (_logical(made) and self.may_be_number(made)):
            return made
        # The container's truth values take the other side's place in `-` and functions.
        return Number(_value(made)) if _constant(made) else If(made, _ONE, _ZERO)

    def rewritten(self, node: Node) -> Node:  # noqa: PLR0911 - one for each form that changes
        match node:
            case Name() if self.may_be_number(node):
                return Binary("*", _ONE, node)  # else the container changes the function's value
            case Name() | Call() if is_feature(node) or is_normalizer(node):
                return node
            case If():
                return self.choice(node)
            case Not(operand=operand):
                return Binary("==", self.value(operand), _ZERO)
            case Negative(operand=operand):
                inner = self.value(operand)
                return inner.operand if isinstance(inner, Negative) else Negative(inner)
            case In():
                return self.rewritten(self.equalities(node))
            case Binary():
                return self.binary(node)
            case _:
                return map_children(node, self.value)

    def choice(self, node: If) -> Node:
        condition = self.condition(node.condition)
        if _constant(condition):
            return self.value(node.then if _value(condition) != 0 else node.otherwise)
        then, otherwise = self.value(node.then), self.value(node.otherwise)
        return replace(node, condition=condition, then=then, otherwise=otherwise)

    def condition(self, node: Node) -> Node:
        """As `value`, where only its truth counts."""
        return self.rewritten(node) if _logical(node) else self.value(node)

    def equalities(self, node: In) -> Node:
        """A boolean operand is compared as a boolean, as in the compiler."""
        if isinstance(node.operand, Text):
            return Number(_value(node), truth=True)
        # With functions put in: theirs may be truth values.
        operand = parse(write(node.operand), self.functions).flat
        if isinstance(operand, If):
            then, otherwise = (replace(node, operand=o) for o in (operand.then, operand.otherwise))
            return replace(operand, then=then, otherwise=otherwise)
        members = [member for member in node.members if not isinstance(member, Text)]
        if _logical(operand):
            members = [Binary("!=", member, _ZERO) for member in members]
        found = [Binary("==", operand, member) for member in members]
        return reduce(lambda a, b: Binary("||", a, b), found) if found else _FALSE

    def binary(self, node: Binary) -> Node:
        if node.operator in _JUNCTIONS:
            return map_children(node, self.condition)
        if isinstance(node.left, Text) or isinstance(node.right, Text):
            return Number(_value(node), truth=True)
        left = self.value(node.left)
        right = node.right if isinstance(node.right, Name) else self.value(node.right)
        if node.operator in ("*", "/") and not (_constant(left) and _constant(right)):
            divides = node.operator == "/"
            return Binary(node.operator, _kept_zero(left), right if divides else _kept_zero(right))
        if self.may_be_number(left) and _may_be_tensor(right):
            return self.in_order(node.operator, left, right)
        return Binary(node.operator, left, right)

    def in_order(self, operator: str, left: Node, right: Node) -> Node:
        """Operands that the container would exchange, so that it does not.

        To it a constant is a number and a feature a tensor without dimensions, and a number
        leaves operations on tensors to the tensor.
        """
        if operator == POWER:
            return Call("pow", (left, right))
        if operator in _MIRRORED and not (_may_be_tensor(left) and self.may_be_number(right)):
            return Binary(_MIRRORED[operator], right, left)
        kept = operator not in {*_MIRRORED, "~="}
        return Binary(operator, left if kept else self.as_tensor(left, right), right)

    def as_tensor(self, node: Node, beside: Node) -> Node:
        """The value as a tensor: a tensor, of value 0, plus it."""
        read = parse(write(Binary("+", beside, node)), self.functions).flat
        feature = next(filter(is_feature, walk(read)), None)
        return Binary("+", Binary("<", feature, feature), node) if feature else node

    def may_be_number(self, node: Node) -> bool:  # noqa: PLR0911 - one for each kind
        match node:
            case Number():
                return True
            case Name(name=name) if name in self.functions:
                return self.may_be_number(parse(name, self.functions).flat)
            case Negative(operand=first) | Not(operand=first):
                return self.may_be_number(first)
            case If(then=then, otherwise=otherwise):
                return self.may_be_number(then) or self.may_be_number(otherwise)
            case Binary(operator=operator, left=first):
                return operator in _JUNCTIONS or self.may_be_number(first)
            case Call(arguments=(first, *_)):
                return not (is_feature(node) or is_normalizer(node)) and self.may_be_number(first)
            case _:
                return False


def _constant(node: Node) -> bool:
    return not any(is_feature(below) for below in walk(node))


def _value(node: Node) -> float:
    return float(Compiler(node).compile(node)({}))


def _logical(node: Node) -> bool:
    """Whether the value is a truth value whatever the features."""
    match node:
        case Not() | In() | Number(truth=True):
            return True
        case Binary(operator=operator):
            return LEVEL[operator] < LEVEL["+"]
        case If(then=then, otherwise=otherwise):
            return _logical(then) and _logical(otherwise)
        case _:
            return False


def _kept_zero(node: Node) -> Node:
    """Zero as a function's value: of a product with a zero, Vespa keeps nothing else."""
    if not (_constant(node) and _value(node) == 0):
        return node
    zero = Call("abs", (_ZERO,))
    return Negative(zero) if math.copysign(1, _value(node)) < 0 else zero


def _may_be_tensor(node: Node) -> bool:
    return isinstance(node, Name) or any(map(_may_be_tensor, children(node)))
