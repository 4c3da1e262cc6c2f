"""Choose the top k of Vespa's hits, with ties by id.

Vespa gives equal scores in an order of its own, which changes with each feed; and its grouping
leaves out match-features and knows first-phase scores only. So a few hits more than k are asked
for, and ties and groups are settled here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ranking.query_checks import NO_ATTRIBUTES
from ranking.types import Attribute, Query
from vespa_app.query.answers import Answer, Row, own_value

__all__ = ["Chosen", "Window", "choose"]

SPARE = 10
PER_GROUP = 5


@dataclass(frozen=True)
class Window:
    """How many hits to ask for, and how many are the most."""

    hits: int
    limit: int

    @classmethod
    def first(cls, query: Query, limit: int) -> Window:
        """Enough for k hits where few scores are equal and groups are small."""
        wanted = (query.offset + query.k) * (PER_GROUP if query.group_by else 1) + SPARE
        return cls(min(wanted, limit), limit)

    def larger(self) -> Window:
        """Ten times as many, as far as allowed."""
        return Window(min(10 * self.hits, self.limit), self.limit)


@dataclass(frozen=True)
class Chosen:
    """The hits in order; `complete` where a larger window could not change them.

    unfilled: hits whose summary did not arrive, so that it is not known what they are.
    """

    rows: tuple[Row, ...]
    complete: bool
    unfilled: int = 0
    warnings: tuple[str, ...] = ()


def choose(
    query: Query, window: Window, answer: Answer, own: Mapping[str, Attribute] = NO_ATTRIBUTES
) -> Chosen:
    """Take k of the answer's hits after the offset, in the order and groups asked for.

    Sorting by a field is done here, over all hits: Vespa computes no score where it sorts. own:
    fields of one's own.
    """
    filled = [row for row in answer.documents if "id" in row.fields]
    ordered = sorted(filled, key=_order)
    least = -math.inf if query.min_score is None else query.min_score
    kept = [row for row in ordered if _score(row) >= least]
    more = len(answer.documents) >= window.hits and answer.total > window.hits
    more = more and len(kept) == len(ordered)  # what comes after has no better score
    best = kept
    if query.sort:
        name, descending = query.sort.field, query.sort.descending
        held = [row for row in best if _value(row, name, own) is not None]
        missing = [row for row in best if _value(row, name, own) is None]
        held.sort(key=lambda row: _value(row, name, own), reverse=descending)
        best = held + missing
    if query.group_by:
        best = _best_of_groups(best, query.group_by, own)
    wanted = query.offset + query.k
    rows = tuple(best[query.offset : wanted])
    too_few = more and query.group_by is not None and len(best) < wanted
    cut = more and bool(rows) and _score(rows[-1]) == _score(ordered[-1])
    complete = not (too_few or cut or (more and query.sort is not None))
    return Chosen(
        rows,
        complete,
        unfilled=len(answer.documents) - len(filled),
        warnings=() if complete or window.hits < window.limit else _warnings(window, cut=cut),
    )


def _score(row: Row) -> float:
    return -math.inf if math.isnan(row.relevance) else row.relevance


def _value(row: Row, column: str, own: Mapping[str, Attribute]) -> Any:  # noqa: ANN401
    """What hits are sorted and grouped by; None for a number that is missing."""
    value = own_value(own[column], row.fields) if column in own else row.fields.get(column)
    numbers = column in own and own[column].type != "keyword"
    return value if numbers else str(value or "")


def _order(row: Row) -> tuple[float, str]:
    return -_score(row), str(row.fields["id"])


def _best_of_groups(rows: Sequence[Row], column: str, own: Mapping[str, Attribute]) -> list[Row]:
    """The first row of each value; one without a value is a group of its own."""
    firsts: dict[object, Row] = {}
    for number, row in enumerate(rows):
        value = _value(row, column, own)
        firsts.setdefault((number,) if value in (None, "") else value, row)
    return list(firsts.values())


def _warnings(window: Window, *, cut: bool) -> tuple[str, ...]:
    if cut:
        shared = f"More than {window.limit} documents share the last hit's score"
        return (f"{shared}; which of them are shown depends on Vespa's order.",)
    return (f"The best {window.limit} hits have fewer groups than requested.",)
