"""Text -> tree, for the part of Vespa's ranking-expression language that we evaluate.

Grammar: https://docs.vespa.ai/en/reference/ranking/ranking-expressions.html, and measured with
Vespa's own parser where that page is silent: every binary operator has its own level, `in` ends
the expression it stands in, `-` and `!` bind tighter than `^`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn

from encoders.errors import UserError
from ranking.expression_tree import (
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
)

__all__ = ["ExpressionError", "parse_tree", "pointed"]

_MAX_DEPTH = 100
_TOKEN = re.compile(
    r"""
      (?P<space>\s+ | \#[^\n]*)
    | (?P<number>(?:\d+\.\d* | \d+)(?:[eE][+-]?\d+)?[fFdD]?(?![\w$@]))
    | (?P<name>[A-Za-z0-9_$@][A-Za-z0-9_$@]*)
    | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
    | (?P<operator>\|\| | && | >= | <= | ~= | != | == | [><+\-*/%^!(),\[\]{}.:])
    """,
    re.VERBOSE,
)
# fmt: off
_TENSOR_FUNCTIONS = frozenset({
    "argmax", "argmin", "avg", "cell_cast", "concat", "cosine_similarity", "count", "diag",
    "euclidean_distance", "expand", "filter_subspaces", "join", "l1_normalize", "l2_normalize",
    "map", "map_subspaces", "matmul", "median", "merge", "prod", "random", "range", "reduce",
    "rename", "slice", "softmax", "sum", "tensor", "unpack_bits", "xw_plus_b",
})
# fmt: on
_CONSTANTS = {"true": 1.0, "false": 0.0}


class ExpressionError(UserError):
    """An expression cannot be read or computed; the message points to where."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def pointed(message: str, source: str, at: int) -> ExpressionError:
    """Return an error with the line of `source` that holds position `at`, and a caret below."""
    start = source.rfind("\n", 0, at) + 1
    end = source.find("\n", at)
    line = source[start : end if end >= 0 else len(source)]
    return ExpressionError(f"{message}\n    {line}\n    {' ' * (at - start)}^")


@lru_cache(maxsize=4096)
def parse_tree(source: str) -> Node:
    """Parse one expression; raises ExpressionError with a pointer."""
    parser = _Parser(source)
    tree = parser.expression()
    parser.expect_end()
    return tree


def _tokens(source: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise pointed(f"Unexpected {source[at]!r}:", source, at)
        if match.lastgroup != "space":
            tokens.append(_Token(str(match.lastgroup), match[0], at))
        at = match.end()
    return [*tokens, _Token("end", "", len(source))]


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens: Sequence[_Token] = _tokens(source)
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def fail(self, message: str, token: _Token | None = None) -> NoReturn:
        raise pointed(message, self.source, (token or self.token).at)

    def advance(self) -> _Token:
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
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"The expression nests deeper than {_MAX_DEPTH} levels:")
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
            right = self.binary(own if operator.text == POWER else own + 1)
            left = Binary(operator.text, left, right, operator.at)
        return left

    def unary(self) -> Node:
        at = self.token.at
        if self.accept("!"):
            return Not(self.negative(), at)
        return self.negative()

    def negative(self) -> Node:
        at = self.token.at
        return Negative(self.value(), at) if self.accept("-") else self.value()

    def value(self) -> Node:
        token = self.advance()
        if token.kind == "number":
            return Number(float(token.text.rstrip("fFdD")), token.at)
        if token.kind == "text":
            return Text(re.sub(r"\\(.)", r"\1", token.text[1:-1]), token.at)
        if token.kind == "name":
            return self.named(token)
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.kind == "end":
            self.fail("Expected a value, found the end:", token)
        return self.fail(f"Expected a value, found {token.text!r}:", token)

    def named(self, token: _Token) -> Node:
        if token.text in _CONSTANTS:
            return Number(_CONSTANTS[token.text], token.at)
        if token.text.startswith("$"):
            return Call("query", (Name(token.text[1:], token.at),), token.at)
        if token.text in _TENSOR_FUNCTIONS and self.token.text in ("(", "<"):
            self.fail(f"{token.text} works on tensors, which are not supported here:", token)
        if not self.accept("("):
            self.refuse_output(token)
            return Name(token.text, token.at)
        if token.text == "if":
            return self.choice(token)
        arguments = () if self.accept(")") else self.list_until(")")
        self.refuse_output(token)
        return Call(token.text, arguments, token.at) if arguments else Name(token.text, token.at)

    def refuse_output(self, token: _Token) -> None:
        if self.token.text == ".":
            self.fail(f"Outputs of features, such as {token.text}.x, are not supported here:")

    def choice(self, token: _Token) -> Node:
        parts = self.list_until(")")
        if len(parts) not in (3, 4):
            self.fail(f"`if` takes a condition and two values, found {len(parts)}:", token)
        probability = None
        if len(parts) == 4:
            hint = parts[3]
            if not (isinstance(hint, Number) and 0 <= hint.value <= 1):
                self.fail("The fourth part of `if` is a probability from 0 to 1:", token)
            probability = hint.value
        return If(parts[0], parts[1], parts[2], probability, token.at)

    def list_until(self, closing: str) -> tuple[Node, ...]:
        items = [self.expression()]
        while self.accept(","):
            items.append(self.expression())
        self.expect(closing)
        return tuple(items)
