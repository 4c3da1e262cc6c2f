"""Krovetz's stemmer as in Vespa.

The package `krovetzstemmer` is Krovetz's own C++ program. Its rules are the port's, but its
dictionary has 60 entries that the port lacks (told by comparing the lists of both). For a word
that it would find there, the entry is hidden from it; docs/text.md has what was measured.
"""

from __future__ import annotations

import re

from encoders.base.errors import UserError

try:
    from krovetzstemmer import Stemmer
except ImportError as _error:
    raise UserError(
        "ranking needs the package krovetzstemmer, which pip compiles: install a C++ compiler "
        "(Debian and Ubuntu: apt install g++ python3-dev), then `pip install krovetzstemmer`."
    ) from _error

__all__ = ["LONGEST", "stem"]

LONGEST = 49
"""Letters of the longest word that the port stems."""

_LONGEST_IN_CPP = 24
_KEPT = 5
"""Letters at an entry's end that the rules look at; no rule looks further back."""

# The C++ program's entries that the Java port lacks: words that it leaves as they are,
_WORDS = (
    "abbas activism agribusiness arbutus barfly basal batwing bedspring boric botfly bowstring "
    "cation centric clonic cryptanalysis cursor daybed deaconess defocus fiance flatbed formic "
    "gator grizzly jowly kelly lacewing later lioness pupal sawfly shoofly weber"
)
# and words that it replaces.
_REPLACED = {
    "appendices": "appendix",
    "babysitting": "babysit",
    "bater": "bate",
    "belying": "belie",
    "bookshelves": "bookshelf",
    "bootstrapped": "bootstrap",
    "bootstrapping": "bootstrap",
    "checksummed": "checksum",
    "checksumming": "checksum",
    "crises": "crisis",
    "dwarves": "dwarf",
    "eerily": "eerie",
    "housewives": "housewife",
    "midwives": "midwife",
    "oases": "oasis",
    "parentheses": "parenthesis",
    "scarves": "scarf",
    "synopses": "synopsis",
    "syntheses": "synthesis",
    "taxied": "taxi",
    "testes": "testicle",
    "theses": "thesis",
    "thieves": "thief",
    "vortices": "vortex",
    "wharves": "wharf",
    "wolves": "wolf",
    "yourselves": "yourself",
}
_ENTRIES = {**{word: word for word in _WORDS.split()}, **_REPLACED}
_BEGINNINGS = {entry.removesuffix("y").removesuffix("e"): entry for entry in _ENTRIES}
_BEGINNING = re.compile("|".join(sorted(_BEGINNINGS, key=len, reverse=True)))

# What the rules make of those entries by way of a word that both dictionaries have.
_BY_DICTIONARY = {
    "basal": "base",
    "bater": "bat",
    "boric": "bore",
    "cation": "cat",
    "centric": "centre",
    "clonic": "clone",
    "cursor": "curse",
    "fiance": "fie",
    "formic": "form",
    "gator": "gat",
    "grizz": "grizzle",
    "later": "late",
    "pupal": "pup",
    "teste": "test",
    "weber": "web",
}
# The C++ program alone takes the ending -al of so short a word for -um: bum, hum, mum, rum, sum.
_NO_LATIN_NEUTER = re.compile("[bhmrs]al")

_krovetz = Stemmer()


def stem(word: str) -> str:
    """Return the stem of a word of 3 to 49 letters a-z.

    >>> stem("images"), stem("crises"), stem("mal")
    ('image', 'crise', 'mal')
    """
    if len(word) > _LONGEST_IN_CPP:
        return _stem_long(word)
    found: str = _krovetz.stem(word)
    beginning = _BEGINNING.match(word)
    if beginning and found == _ENTRIES[_BEGINNINGS[beginning[0]]]:
        return _stem_without(_BEGINNINGS[beginning[0]], word)
    if _NO_LATIN_NEUTER.match(word) and found == f"{word[0]}um":
        return word[:3]
    return found


def _stem_without(entry: str, word: str) -> str:
    """Stem a word as if an entry at its beginning were not in the dictionary.

    What stands before the entry's last letters is replaced by nonsense of the same vowels and
    consonants, and put back afterwards.
    """
    hidden = entry[: -min(_KEPT, len(entry) - 2)]
    nonsense = "".join("u" if letter in "aeiou" else "q" for letter in hidden)
    found: str = _krovetz.stem(nonsense + word[len(hidden) :])
    restored = hidden + found[len(hidden) :]
    return _BY_DICTIONARY.get(restored, restored)


def _stem_long(word: str) -> str:
    """Stem a word that is in no dictionary for its length: its two ends alone decide.

    The C++ program leaves words of 25 letters and more as they are, the port those of 50.
    """
    start, end = word[:4], word[4 - _LONGEST_IN_CPP :]
    found: str = _krovetz.stem(start + end)
    return word[: -len(end)] + found[len(start) :] if found.startswith(start) else word
