"""Tokenise text as Vespa's default English linguistics does: tokens, accents, stems.

What Vespa 8 (OpenNLP linguistics, language English, `stemming: best`) does to a string:

1. cut it where a character is neither letter, mark nor digit; a character of the Unicode
   category So (a degree sign, an emoji) is a token by itself;
2. each token: NFKC, lower case, NFD with the marks U+0300..U+036F dropped;
3. tokens of 3 to 49 letters a-z: Krovetz's stemmer (KStem, as ported for Lucene);
4. a token longer than 1,000 characters is dropped, and so is one after its 10,000th occurrence.

Measured against Vespa's own Java code; docs/text.md holds the figures and the differences.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from ranking.text.kstem import LONGEST, stem

__all__ = ["query_terms", "tokenize"]

_WORD_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nl", "Nd", "No"})
_STANDALONE_CATEGORY = "So"
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_COMBINING_DIACRITICAL_MARKS = re.compile("[\u0300-\u036f]+")
_STEMMABLE = re.compile(rf"[a-z]{{3,{LONGEST}}}")
_LONGEST_TOKEN = 1_000  # UTF-16 units, as Java counts, of the stem
_MOST_OCCURRENCES = 10_000
_LARGEST_NUMBER = str(2**63 - 1)


class _Boundaries(dict[int, str]):
    """For `str.translate`: token characters stay, symbols stand apart, the rest are spaces."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category in _WORD_CATEGORIES:
            kept = character
        elif category == _STANDALONE_CATEGORY:
            kept = f" {character} "
        else:
            kept = " "
        self[code] = kept
        return kept


_boundaries = _Boundaries()


def tokenize(text: str) -> list[str]:
    """Return the tokens that Vespa indexes for an English `text`, in order.

    >>> tokenize("T2-weighted MRI images, 5\u00b0")
    ['t2', 'weighted', 'mri', 'image', '5', '\u00b0']
    """
    return _within_limits(_tokens(text))


def _tokens(text: str) -> list[str]:
    if text.isascii():
        return [_stem(token) for token in _ASCII_TOKEN.findall(text.lower())]
    pieces = text.translate(_boundaries).split(" ")
    return [token for token in map(_normalize, pieces) if token]


def _within_limits(tokens: list[str]) -> list[str]:
    """Drop what Vespa's indexer drops; positions and a field's length do not count it."""
    if any(len(token) > _LONGEST_TOKEN // 2 for token in tokens):
        tokens = [t for t in tokens if len(t.encode("utf-16-le")) <= 2 * _LONGEST_TOKEN]
    if len(tokens) <= _MOST_OCCURRENCES:
        return tokens
    seen = Counter[str]()
    kept = []
    for token in tokens:
        seen[token] += 1
        if seen[token] <= _MOST_OCCURRENCES:
            kept.append(token)
    return kept


def query_terms(text: str) -> list[str]:
    """Return the terms that Vespa looks up for `text` typed as plain words, in order.

    The grammar "linguistics": nothing in the text is an operator. NFKC first, because Vespa
    rejects a fraction such as "\u00bd" in a query. A token of digits only travels as a number
    and is looked up as that number is written: "05" asks for "5", "000" for "0".

    >>> query_terms("4,000 ms")
    ['4', '0', 'ms']
    """
    if text.isascii():
        return [_ascii_term(token) for token in _ASCII_TOKEN.findall(text.lower())]
    return [_as_number(token) for token in _tokens(unicodedata.normalize("NFKC", text))]


@lru_cache(maxsize=1 << 16)
def _ascii_term(token: str) -> str:
    return _as_number(_stem(token))


def _as_number(token: str) -> str:
    if not token.isdecimal():
        return token
    digits = "".join(str(unicodedata.decimal(c)) for c in token).lstrip("0") or "0"
    if (len(digits), digits) < (len(_LARGEST_NUMBER), _LARGEST_NUMBER):
        return digits
    return f"{digits}.0"  # travels as a double, which is the text of no token


@lru_cache(maxsize=1 << 16)
def _normalize(piece: str) -> str:
    # Java lower-cases U+0130 to two characters; Vespa replaces it by I before.
    lower = unicodedata.normalize("NFKC", piece).replace("\u0130", "I").lower()
    decomposed = unicodedata.normalize("NFD", lower)
    return _stem(_COMBINING_DIACRITICAL_MARKS.sub("", decomposed))


@lru_cache(maxsize=1 << 17)
def _stem(token: str) -> str:
    return stem(token) if _STEMMABLE.fullmatch(token) else token
