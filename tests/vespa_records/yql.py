"""The part of YQL that recorded queries use: text -> a tree of items.

https://docs.vespa.ai/en/reference/querying/yql.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from encoders.base.errors import UserError

__all__ = ["Item", "YqlError", "parse_where"]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<name>[@A-Za-z_][\w.@]*)
      | (?P<sign>[(){}\[\],:!])
    )""",
    re.VERBOSE,
)
_WHERE = re.compile(r"\s*select\s+.+?\s+from\s+[\w,\s]+?\s+where\s+(.*?);?\s*", re.DOTALL)
_JOINS = ("or", "and")


class YqlError(UserError):
    """The query uses a form that this reader does not know; the message names it."""


@dataclass(frozen=True)
class Item:
    """A node of the query tree.

    kind: "and", "or", "not", or the operator's name; for `FIELD contains "word"` it is "word".
    arguments: strings and numbers, and the names of fields and parameters.
    """

    kind: str
    inner: tuple[Item, ...] = ()
    arguments: tuple[str, ...] = ()
    annotations: Mapping[str, object] = field(default_factory=dict)


def parse_where(yql: str) -> Item:
    """Parse what follows `where`; raises YqlError."""
    match = _WHERE.fullmatch(yql)
    if match is None:
        raise YqlError("no `select ... where`")
    try:
        return _Reader(match[1]).whole()
    except RecursionError:
        raise YqlError("nested too deeply") from None


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise YqlError(f"YQL at {text[at : at + 20].strip()!r}")
        tokens.append((str(match.lastgroup), match[0].strip()))
        at = match.end()
    return [*tokens, ("end", "")]


def _string(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


_VALUES: Mapping[str, Callable[[str], object]] = {
    "string": _string,
    "number": json.loads,
    "name": lambda text: text == "true",
}


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1]

    def next(self) -> tuple[str, str]:
        token = self.tokens[self.at]
        if token[0] == "end":
            raise YqlError("it ends too early")
        self.at += 1
        return token

    def accept(self, text: str) -> bool:
        if self.peek() != text or self.tokens[self.at][0] == "string":
            return False
        self.at += 1
        return True

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise YqlError(f"YQL at {self.peek()!r}")

    def whole(self) -> Item:
        item = self.join(0)
        if self.tokens[self.at][0] != "end":
            raise YqlError(f"YQL at {self.peek()!r}")
        return item

    def join(self, level: int) -> Item:
        if level == len(_JOINS):
            return self.single()
        items = [self.join(level + 1)]
        while self.accept(_JOINS[level]):
            items.append(self.join(level + 1))
        return items[0] if len(items) == 1 else Item(_JOINS[level], tuple(items))

    def single(self) -> Item:
        if self.accept("!"):
            return Item("not", (self.single(),))
        if self.peek() == "{":
            annotations = self.annotations()
            item = self.single()
            return Item(item.kind, item.inner, item.arguments, annotations)
        if self.accept("("):
            item = self.join(0)
            self.expect(")")
            return item
        return self.operator()

    def operator(self) -> Item:
        _, name = self.next()
        if name in ("true", "false"):
            return Item(name)
        if self.accept("("):
            return self.call(name)
        if self.accept("contains"):
            return self.contains(name)
        raise YqlError(self.peek() or name)

    def call(self, name: str) -> Item:
        if name in ("rank", "weakAnd"):
            inner = self.items()
            return Item(name, inner)
        return Item(name, (), self.arguments())

    def items(self) -> tuple[Item, ...]:
        found = [self.join(0)]
        while self.accept(","):
            found.append(self.join(0))
        self.expect(")")
        return tuple(found)

    def arguments(self) -> tuple[str, ...]:
        found: list[str] = []
        while not self.accept(")"):
            kind, text = self.next()
            if kind == "string":
                found.append(_string(text))
            elif kind in ("name", "number"):
                found.append(text)
            elif text != ",":
                raise YqlError(f"YQL at {text!r}")
        return tuple(found)

    def contains(self, name: str) -> Item:
        if self.accept("("):
            inner = self.contains_annotated(name)
            self.expect(")")
            return inner
        kind, text = self.next()
        if kind == "string":
            return Item("word", (), (name, _string(text)))
        self.expect("(")
        return Item(text, (), (name, *self.arguments()))

    def contains_annotated(self, name: str) -> Item:
        annotations = self.annotations() if self.peek() == "{" else {}
        item = self.contains(name)
        return Item(item.kind, item.inner, item.arguments, annotations)

    def annotations(self) -> dict[str, object]:
        self.expect("{")
        found: dict[str, object] = {}
        while not self.accept("}"):
            _, key = self.next()
            self.expect(":")
            kind, text = self.next()
            if kind not in ("string", "number", "name"):
                raise YqlError(f"annotation {key}")
            found[key.strip("\"'")] = _VALUES[kind](text)
            self.accept(",")
        return found
