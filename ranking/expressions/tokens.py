"""Lexer of ranking expressions, as in Vespa's parser."""

from __future__ import annotations

import re
from typing import NamedTuple

from encoders.base.errors import UserError

__all__ = ["ExpressionError", "Token", "number", "pointed", "tokens", "unquoted"]

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+ | \#[^\r\n]*)
    | (?P<number>0[xX][0-9a-fA-F]+[lL]? | (?:0[0-7]*|[1-9][0-9]*)[lL]
                | [0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?[fFdD]?)
    | (?P<name>[A-Za-z0-9_@][A-Za-z0-9_$@]*)
    | (?P<text>"(?:\\"|[^"])*" | '(?:\\'|[^'])*')
    | (?P<operator>\|\| | && | >= | <= | ~= | != | == | [><+\-*/%^!(),\[\]{}.:$])
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_$@]*")
_MOST_WHOLE = 2**63 - 1
SHOWN = 60  # characters of an expression, on each side of a fault
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[^u])", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


class ExpressionError(UserError):
    """An expression cannot be read or computed; the message points to where."""

    pointed = True


class Token(NamedTuple):
    """kind: number, name, text, operator or end. at: where it begins."""

    kind: str
    text: str
    at: int


def pointed(message: str, source: str, at: int) -> ExpressionError:
    """Return an error with the line of `source` that holds position `at`, and a caret below."""
    start = source.rfind("\n", 0, at) + 1
    end = source.find("\n", at)
    end = end if end >= 0 else len(source)
    before, after = source[max(start, at - SHOWN) : at], source[at : min(end, at + SHOWN)]
    begun, more = "..." * (at - SHOWN > start), "..." * (at + SHOWN < end)
    line = f"{begun}{before}{after}{more}"
    return ExpressionError(f"{message}\n    {line}\n    {' ' * len(begun + before)}^")


def tokens(source: str) -> list[Token]:
    """Cut an expression up, spaces and comments left out; the last token is the end.

    Raises ExpressionError if no token begins.
    """
    found = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise pointed(f"Unexpected {source[at]!r}:", source, at)
        kind = str(match.lastgroup)
        name = _NAME.match(source, at)
        if kind == "number" and name and name.end() > match.end():
            kind, match = "name", name  # the longer token wins: 1a is a name, 1.a a number and one
        if kind != "space":
            found.append(Token(kind, match[0], at))
        at = match.end()
    return [*found, Token("end", "", len(source))]


def number(token: Token, source: str) -> float:
    """A number's value; raises ExpressionError if Vespa's parser cannot read it."""
    fraction = "." in token.text or re.search("^[0-9]+[eE]", token.text)
    short = len(token.text) <= len(str(_MOST_WHOLE))
    whole = token.text.isdecimal() and short and int(token.text) <= _MOST_WHOLE
    if not (whole or fraction):
        message = f"Vespa cannot read {token.text[:SHOWN]}: write a decimal number, as 16.0:"
        raise pointed(message, source, token.at)
    return float(token.text.rstrip("fFdD"))


def unquoted(token: Token, source: str) -> str:
    """What a text in quotes says; raises ExpressionError for an escape of another kind."""
    inner = token.text[1:-1]
    rest = _ESCAPE.sub("", inner)
    if "\\" in rest or token.text[0] in rest:
        raise pointed("Such escapes in a text are not supported here:", source, token.at)
    return _ESCAPE.sub(_unescaped, inner)


def _unescaped(escape: re.Match[str]) -> str:
    letter = escape[1]
    return chr(int(letter[1:], 16)) if letter[0] == "u" else _ESCAPED.get(letter, letter)
