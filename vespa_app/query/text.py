"""Clean the text of a query for Vespa without changing its matches."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["QueryText", "clean"]

_WORD = re.compile(r"[^\W_]+")
TERM_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "So"})


@dataclass(frozen=True)
class QueryText:
    """What was typed, fit to send (`typed`), and as plain words ("" if it holds none)."""

    typed: str
    words: str

    @classmethod
    def of(cls, text: str) -> QueryText:
        """Both forms of what a person typed."""
        typed = clean(text)
        words = "".join(map(_searchable, unicodedata.normalize("NFKD", typed)))
        words = _WORD.sub(_written_in_ascii, unicodedata.normalize("NFC", words))
        return cls(typed, words if any(map(_is_known, words)) else "")


def _searchable(character: str) -> str:
    """The character as Vespa can look it up, "" for accents, which it drops from every word.

    A word of accents alone would be empty, and a number that is not a digit is parsed as an
    integer: both are a 400. NFKD has turned fractions into digits; what is left is as rare as
    U+0F33.
    """
    if "\u0300" <= character <= "\u036f":
        return ""
    return " " if unicodedata.category(character) in {"No", "Nl"} else character


def _written_in_ascii(word: re.Match[str]) -> str:
    """A number with digits beyond the basic plane in ASCII: Java reads no number there, a 400."""
    if word[0].isdecimal() and max(word[0]) > "\uffff":
        return "".join(str(unicodedata.decimal(digit)) for digit in word[0])
    return word[0]


def _is_known(character: str) -> bool:
    """Whether Vespa makes a term of it; a query without any term is a 400, or finds all.

    Java may know fewer characters than Python: those of Unicode 3.2 are known to both.
    """
    return unicodedata.ucd_3_2_0.category(character) in TERM_CATEGORIES


def clean(text: str) -> str:
    r"""The text without control characters and lone surrogates, which no JSON reader likes.

    >>> clean("chest\x00ct")
    'chest ct'
    """
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text)
