"""Parser of the supported part of Vespa's ranking-expression language.

Grammar: https://docs.vespa.ai/en/reference/ranking/ranking-expressions.html, and measured with
Vespa's own parser where that page is silent: every binary operator has its own level, `in` ends
the expression it stands in, `-` and `!` bind tighter than `^`, and a second `-` is a constant's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from ranking.expressions.tokens import SHOWN, Token, number, pointed, tokens, unquoted
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
    depth,
)

__all__ = ["MOST_LEVELS", "parse_tree"]

MOST_LEVELS = 200
_MAX_DEPTH = 100
MOST_CHARACTERS = 20_000
# fmt: off
_TENSOR_FUNCTIONS = frozenset({
    "argmax", "argmin", "avg", "cell_cast", "cell_order", "concat", "cosine_similarity", "count",
    "diag", "euclidean_distance", "expand", "filter_subspaces", "join", "l1_normalize",
    "l2_normalize", "map", "map_subspaces", "matmul", "median", "merge", "prod", "random", "range",
    "reduce", "rename", "slice", "softmax", "sum", "tensor", "top", "unpack_bits", "xw_plus_b",
})
# fmt: on
_CONSTANTS = {"true": 1.0, "false": 0.0}


@lru_cache(maxsize=4096)
def parse_tree(source: str) -> Node:
    """Parse one expression; raises ExpressionError with a pointer."""
    if len(source) > MOST_CHARACTERS:
        message = f"The expression has more than {MOST_CHARACTERS:,} characters:"
        raise pointed(message, source[:SHOWN], 0)
    parser = _Parser(source)
    tree = parser.expression()
    parser.expect_end()
    if depth(tree) > MOST_LEVELS:
        message = f"The expression has more than {MOST_LEVELS} levels, or terms in a row:"
        raise pointed(message, source[:SHOWN], 0)
    return tree


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens: Sequence[Token] = tokens(source)
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise pointed(message, self.source, (token or self.token).at)

    def advance(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def accept(self, text: str) -> bool:
        found = self.token.kind in ("operator", "name") and self.token.text == text
        if found:
            self.position += 1
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            found = repr(self.token.text) if self.token.text else "the end"
            self.fail(f"Expected {text!r}, found {found}:")

    def expect_end(self) -> None:
        if self.token.kind == "end":
            return
        if self.token.text in ("{", "["):
            self.fail("Tensor slices are not supported here:")
        self.fail(f"Unexpected {self.token.text!r}:")

    def expression(self) -> Node:
        self.deeper()
        tree = self.binary(0)
        if self.token.kind == "name" and self.token.text == "in":
            at = self.advance().at
            self.expect("[")
            tree = In(tree, self.list_until("]"), at)
        self.depth -= 1
        return tree

    def binary(self, level: int) -> Node:
        """Operators of at least this level (precedence climbing)."""
        left = self.unary()
        while LEVEL.get(self.token.text, -1) >= level and self.token.kind == "operator":
            operator = self.advance()
            own = LEVEL[operator.text]
            right = self.power() if operator.text == POWER else self.binary(own + 1)
            left = Binary(operator.text, left, right, operator.at)
        return left

    def power(self) -> Node:
        """What stands right of a `^`: all further ones."""
        self.deeper()
        right = self.binary(LEVEL[POWER])
        self.depth -= 1
        return right

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"The expression nests deeper than {_MAX_DEPTH} levels:")

    def unary(self) -> Node:
        at = self.token.at
        if self.accept("!"):
            return Not(self.negative(), at)
        return self.negative()

    def negative(self) -> Node:
        at = self.token.at
        if not self.accept("-"):
            return self.value()
        if self.accept("-"):
            return self.constant() or self.fail("Two minus signs stand before constants only:")
        token = self.token
        operand = self.value()
        # A whole number has no negative zero: 1 / -0 is infinity, 1 / -0.0 is not.
        return operand if re.fullmatch("0+", token.text) else Negative(operand, at)

    def value(self) -> Node:
        constant = self.constant()
        if constant is not None:
            return constant
        token = self.advance()
        if token.kind == "name":
            return self.named(token)
        if token.text == "$" and self.token.kind == "name":
            return Call("query", (Name(self.advance().text, token.at),), token.at)
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.kind == "end":
            self.fail("Expected a value, found the end:", token)
        return self.fail(f"Expected a value, found {token.text!r}:", token)

    def constant(self) -> Number | Text | None:
        token = self.token
        if token.kind == "number":
            return Number(number(self.advance(), self.source), token.at)
        if token.kind == "text":
            return Text(unquoted(self.advance(), self.source), token.at)
        if token.text in _CONSTANTS:
            return Number(_CONSTANTS[self.advance().text], token.at, truth=True)
        return None

    def named(self, token: Token) -> Node:
        if token.text in _TENSOR_FUNCTIONS and self.token.text in ("(", "<"):
            self.fail(f"{token.text} works on tensors, which are not supported here:", token)
        if (token.text, self.token.text) == ("switch", "(") or token.text == "unpack_bits":
            self.fail(f"{token.text} is not supported here:", token)
        if not self.accept("("):
            self.refuse_output(token)
            return Name(token.text, token.at)
        if token.text == "if":
            return self.choice(token)
        arguments = () if self.accept(")") else self.list_until(")")
        self.refuse_output(token)
        return Call(token.text, arguments, token.at) if arguments else Name(token.text, token.at)

    def refuse_output(self, token: Token) -> None:
        if self.token.text == ".":
            self.fail(f"Outputs of features, such as {token.text}.x, are not supported here:")
        if self.token.text in ("{", "["):
            self.fail("Tensor slices are not supported here:")

    def choice(self, token: Token) -> Node:
        parts = [self.expression()]
        probability = None
        while probability is None and self.accept(","):
            if len(parts) < 3:
                parts.append(self.expression())
            else:
                probability = self.probability()
        self.expect(")")
        if len(parts) != 3:
            self.fail(f"`if` takes a condition and two values, found {len(parts)}:", token)
        return If(parts[0], parts[1], parts[2], probability, token.at)

    def probability(self) -> float:
        sign = -1.0 if self.accept("-") else 1.0
        token = self.advance()
        value = sign * number(token, self.source) if token.kind == "number" else -1.0
        if not 0 <= value <= 1:
            self.fail("The fourth part of `if` is a probability from 0 to 1:", token)
        return value

    def list_until(self, closing: str) -> tuple[Node, ...]:
        items = [self.expression()]
        while self.accept(","):
            items.append(self.expression())
        self.expect(closing)
        return tuple(items)
