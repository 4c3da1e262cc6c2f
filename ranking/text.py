"""Text as Vespa's default English linguistics sees it: tokens, accents, stems.

What Vespa 8 (OpenNLP linguistics, language English, `stemming: best`) does to a string:

1. cut it where a character is neither letter, mark nor digit; a character of the Unicode
   category So (a degree sign, an emoji) is a token by itself;
2. each token: NFKC, lower case, NFD with the marks U+0300..U+036F dropped;
3. tokens of 3 to 49 letters a-z: Krovetz's stemmer (KStem, as ported for Lucene).

Measured against Vespa's own Java code; docs/text.md holds the figures and the differences.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from encoders.errors import UserError

try:
    from krovetzstemmer import Stemmer
except ImportError as _error:
    raise UserError(
        "ranking needs the package krovetzstemmer, which pip compiles: install a C++ compiler "
        "(Debian and Ubuntu: apt install g++ python3-dev), then `pip install krovetzstemmer`."
    ) from _error

__all__ = ["query_terms", "tokenize"]

_WORD_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nl", "Nd", "No"})
_STANDALONE_CATEGORY = "So"
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_COMBINING_DIACRITICAL_MARKS = re.compile("[\u0300-\u036f]+")
_STEMMABLE = re.compile(r"[a-z]{3,49}")
_LARGEST_NUMBER = str(2**63 - 1)

# Where krovetzstemmer (the C++ original) and KStem in Java part; causes in docs/text.md.
_JAVA_STEMS = {
    "bal": "bal",
    "bals": "bal",
    "basal": "base",
    "basals": "base",
    "batwing": "batw",
    "batwings": "batw",
    "borical": "bore",
    "centric": "centre",
    "centrics": "centre",
    "cursor": "curse",
    "cursors": "curse",
    "hal": "hal",
    "hals": "hal",
    "later": "late",
    "laters": "late",
    "mal": "mal",
    "mals": "mal",
    "pupal": "pup",
    "pupals": "pup",
    "testes": "test",
    "theses": "these",
    "thieves": "thieve",
    "weber": "web",
    "webers": "web",
}
# The C++ package leaves longer words as they are, the Java one those of 50 letters and more.
_LONGEST_FOR_KROVETZ = 24

_krovetz = Stemmer()


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
    if text.isascii():
        return [_stem(token) for token in _ASCII_TOKEN.findall(text.lower())]
    pieces = text.translate(_boundaries).split(" ")
    return [token for token in map(_normalize, pieces) if token]


def query_terms(text: str) -> list[str]:
    """Return the terms that Vespa looks up for `text` typed as plain words, in order.

    The grammar "linguistics": nothing in the text is an operator. NFKC first, because Vespa
    rejects a fraction such as "\u00bd" in a query. A token of digits only travels as a number
    and is looked up as that number is written: "05" asks for "5", "000" for "0".

    >>> query_terms("4,000 ms")
    ['4', '0', 'ms']
    """
    return [_as_number(token) for token in tokenize(unicodedata.normalize("NFKC", text))]


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
    if not _STEMMABLE.fullmatch(token):
        return token
    if len(token) > _LONGEST_FOR_KROVETZ:
        return _stem_long(token)
    return _JAVA_STEMS.get(token) or _krovetz.stem(token)


def _stem_long(word: str) -> str:
    """Stem a word that is in no dictionary for its length: its two ends alone decide."""
    start, end = word[:4], word[4 - _LONGEST_FOR_KROVETZ :]
    stem = _krovetz.stem(start + end)
    return word[: -len(end)] + stem[len(start) :] if stem.startswith(start) else word
