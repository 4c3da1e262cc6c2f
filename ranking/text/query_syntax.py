"""Parse query operators: phrases, +must, -not, field:value.

    "pleural effusion"   both words, next to each other
    +ct                  a caption without it is not found
    -head                a caption with it is not found
    modality:ct          documents with this value in a field; caption:ct is +ct
    age:40..60           the same of a field of one's own, where that has such values

What cannot be read as an operator is plain words: nothing a person types is an error. All words
but the excluded ones count for BM25. The operators bind what the words find; a profile that also
searches vectors unites that with the nearest images, as Vespa does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ranking.query_checks import NO_ATTRIBUTES, check_condition
from ranking.text.tokens import query_terms
from ranking.types import Attribute, Filter, QueryError

__all__ = ["Asked", "plain", "read"]

_PIECE = re.compile(r'(?P<sign>[+-]?)(?:(?P<field>[a-z_]+):)?(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_CAPTION = "caption"

Phrase = tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What a query's text asks for.

    terms: count for BM25, each as much as `weights` says, 1 if it is not there. must, must_not:
    words next to each other that a caption has to have, or may not have. filters: fields' values.
    """

    terms: tuple[str, ...]
    must: tuple[Phrase, ...] = ()
    must_not: tuple[Phrase, ...] = ()
    filters: tuple[Filter, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    def widened(self, others: Mapping[str, float]) -> Asked:
        """The same with other terms of these weights, those that it has left out."""
        more = {term: weight for term, weight in others.items() if term not in self.terms}
        return replace(self, terms=(*self.terms, *more), weights=more) if more else self

    @property
    def bound(self) -> bool:
        """Whether anything but the words restricts what is found."""
        return bool(self.must or self.must_not or self.filters)


def plain(text: str) -> Asked:
    """Read a text as nothing but words."""
    return Asked(tuple(query_terms(text)))


def read(text: str, attributes: Mapping[str, Attribute] = NO_ATTRIBUTES) -> Asked:
    """Read a text with operators; attributes: fields of one's own, which it may name."""
    terms: list[str] = []
    must: list[Phrase] = []
    must_not: list[Phrase] = []
    filters: list[Filter] = []
    for piece in _PIECE.finditer(text):
        sign, field = piece["sign"], piece["field"] or ""
        value = piece["word"] if piece["phrase"] is None else piece["phrase"]
        condition = Filter(field, (value,), exclude=sign == "-")
        if _can_be_met(condition, attributes):
            filters.append(condition)
            continue
        if field and field != _CAPTION:
            value = f"{field} {value}"
        phrase = tuple(query_terms(value))
        if not phrase:
            continue
        if sign == "-":
            must_not.append(phrase)
            continue
        terms += phrase
        if sign == "+" or field == _CAPTION or piece["phrase"] is not None:
            must.append(phrase)
    return Asked(tuple(terms), tuple(must), tuple(must_not), tuple(filters))


def _can_be_met(condition: Filter, attributes: Mapping[str, Attribute]) -> bool:
    try:
        check_condition(condition, attributes)
    except QueryError:
        return False
    return True
