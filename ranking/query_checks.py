"""What is wrong with a query, told in the same words whichever engine is asked."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import get_args

from ranking.types import MULTIVALUED, FilterField, Query, QueryError

__all__ = ["PARTS", "check_query", "lacking"]

FIELDS: frozenset[str] = frozenset(get_args(FilterField))

PARTS = {
    "offset": "an offset",
    "sort": "sorting by a field",
    "facets": "facets",
    "min_score": "a lowest score",
    "min_closeness": "a lowest closeness",
    "vectors": "vectors by field",
}
"""Parts of a query that an engine may not take, and how a message calls them."""


def check_query(query: Query, *, engine: str = "", refused: Collection[str] = ()) -> None:
    """Refuse what no engine can answer, and the parts that this one does not take.

    engine: its name in a message. refused: keys of PARTS. Raises QueryError.
    """
    for part in refused:
        value = getattr(query, part)
        if value is not None if part.startswith("min_") else bool(value):
            raise QueryError(f"{engine} does not take {PARTS[part]}: ask the embedded engine.")
    if not query.text.strip() and query.vector is None and not query.vectors:
        raise QueryError("The query is empty: give a text, an image or both.")
    if query.filters or query.group_by or query.sort or query.facets:
        _check_fields(query)
    wholes = (("k", query.k), ("target_hits", query.target_hits), ("offset", query.offset))
    for name, value in wholes:
        if not (type(value) is int or isinstance(value, Integral)) or value < 0:
            raise QueryError(f"{name} is {value!r}: give a whole number, 0 or more.")
    for name, cut in (("min_score", query.min_score), ("min_closeness", query.min_closeness)):
        if cut is not None and not (isinstance(cut, Real) and math.isfinite(cut)):
            raise QueryError(f"{name} is {cut!r}: give a finite number.")
    if not (math.isfinite(query.timeout) and query.timeout > 0):
        raise QueryError(f"A time-out of {query.timeout} s is none: give seconds above 0.")


def _check_fields(query: Query) -> None:
    asked: set[str] = {each.field for each in query.filters} | {*query.facets}
    asked |= {query.group_by or "id", query.sort.field if query.sort else "id"}
    for field in sorted(asked - FIELDS):
        named = ", ".join(get_args(FilterField))
        raise QueryError(f"There is no field {field!r} to filter or group by: {named}.")
    for verb, one in (("grouped", query.group_by), ("sorted", query.sort and query.sort.field)):
        if one in MULTIVALUED:
            raise QueryError(f"Hits cannot be {verb} by {one}, of which a document has several.")


def lacking(profile: str, retrieve: Sequence[str]) -> QueryError:
    """The error of a query that has nothing that its profile retrieves by."""
    needs = " or a ".join(retrieve) or "retriever"
    return QueryError(f"Profile {profile} needs a {needs}, which the query does not have.")
