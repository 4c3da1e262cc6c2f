"""Other ways of saying what a query says, with a weight each.

A file in Solr's synonym format (https://solr.apache.org/guide/solr/latest/indexing-guide/filters.html,
"Synonym Graph Filter"), weights as in its delimited boosts:

    # all of these mean the same
    ct, computed tomography, cat scan
    # said on the left, also sought: what stands on the right, at these weights
    hydronephrosis => dilated renal pelvis|0.5, hydroureteronephrosis|0.3

A synonym widens a query, it replaces nothing: on the left of `=>` stays what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from encoders.base.arguments import read_given
from encoders.base.errors import UserError
from ranking.text.tokens import query_terms

__all__ = ["Expansion", "Synonyms", "SynonymsError", "read_synonyms", "synonym_line"]

Form = tuple[str, ...]
"""One way of saying it, as the terms that are looked up."""

MOST_BYTES = 64 << 20
_ESCAPED = re.compile(r"\\(.)")
_WEIGHT = re.compile(r"\|(\d+(?:\.\d+)?)\s*$")


class SynonymsError(UserError):
    """A synonym file cannot be used; the message names the line."""


@dataclass(frozen=True, order=True)
class Expansion:
    """A form to look for beside the query's own terms.

    terms: one, or a phrase. weight: 0 to 1, what a match counts beside one of the query's own.
    """

    terms: Form
    weight: float = 1.0


@dataclass(frozen=True)
class Synonyms:
    """Form -> what else to look for where a query has it."""

    forms: Mapping[Form, tuple[Expansion, ...]] = field(default_factory=dict)

    def expand(self, terms: Sequence[str]) -> tuple[Expansion, ...]:
        """What else to look for: the longest form at each place counts, what is asked for does not.

        >>> Synonyms({("ct",): (Expansion(("compute", "tomography")),)}).expand(["chest", "ct"])
        (Expansion(terms=('compute', 'tomography'), weight=1.0),)
        """
        found: dict[Form, float] = {}
        longest = max(map(len, self.forms), default=0)
        asked = tuple(terms)
        place = 0
        while place < len(asked):
            for length in range(min(longest, len(asked) - place), 0, -1):
                others = self.forms.get(asked[place : place + length])
                if others is not None:
                    for each in others:
                        if not _within(each.terms, asked):
                            found[each.terms] = max(each.weight, found.get(each.terms, 0.0))
                    place += length - 1
                    break
            place += 1
        return tuple(Expansion(form, weight) for form, weight in found.items())


def read_synonyms(path: str | Path) -> Synonyms:
    """Read a synonym file.

    Raises SynonymsError naming file and line where it cannot be read.
    """
    path = Path(path)
    try:
        lines = read_given(path, MOST_BYTES).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise SynonymsError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise SynonymsError(f"{path} is not UTF-8: save it as UTF-8.") from None
    found: dict[Form, dict[Form, float]] = {}
    for number, line in enumerate(lines, 1):
        for left, right in _pairs(line, f"{path}, line {number}"):
            kept = found.setdefault(left, {})
            kept[right.terms] = max(right.weight, kept.get(right.terms, 0.0))
    return Synonyms(
        {left: tuple(Expansion(*item) for item in kept.items()) for left, kept in found.items()}
    )


def synonym_line(forms: Mapping[str, float], left: Sequence[str] = ()) -> str:
    """One line of a synonym file: forms that mean the same, with their weights.

    left: then only these are expanded, to `forms`.

    >>> synonym_line({"ct": 1.0, "cat scan": 0.5}, ["axial"])
    'axial => ct, cat scan|0.5'
    """
    right = ", ".join(
        _escaped(form) + ("" if weight == 1 else f"|{weight:.3g}") for form, weight in forms.items()
    )
    return f"{', '.join(map(_escaped, left))} => {right}" if left else right


def _escaped(form: str) -> str:
    return re.sub(r"([,|\\=])", r"\\\1", form)


def _pairs(line: str, where: str) -> Iterator[tuple[Form, Expansion]]:
    line = line.strip()
    if not line or line.startswith("#"):
        return
    sides = re.split(r"(?<!\\)=>", line)
    if len(sides) > 2:
        raise SynonymsError(f"{where}: more than one => in a line; write one rule on each line.")
    left = list(_forms(sides[0], where))
    right = list(_forms(sides[-1], where))
    if len(sides) == 1 and len(left) < 2:
        raise SynonymsError(f"{where}: a synonym needs at least two forms with a comma between.")
    for form in left:
        for other in right:
            if form.terms != other.terms:
                yield form.terms, other


def _forms(side: str, where: str) -> Iterator[Expansion]:
    for piece in re.split(r"(?<!\\),", side):
        weight = _WEIGHT.search(piece)
        text = _ESCAPED.sub(r"\1", piece[: weight.start()] if weight else piece)
        terms = tuple(query_terms(text))
        if not terms:
            raise SynonymsError(f"{where}: {piece.strip()!r} has no word to look for.")
        value = float(weight[1]) if weight else 1.0
        if not 0 < value <= 1:
            raise SynonymsError(f"{where}: the weight {weight and weight[1]} is not in 0 to 1.")
        yield Expansion(terms, value)


def _within(form: Form, terms: Form) -> bool:
    """Whether the terms hold the form, one after another."""
    return any(terms[n : n + len(form)] == form for n in range(len(terms) - len(form) + 1))
