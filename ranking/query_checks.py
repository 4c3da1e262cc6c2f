"""Checks of a query, shared by both engines."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set as AbstractSet
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ranking.attributes import AttributeFault, bounds, is_number, value_of
from ranking.names import vector_field_names
from ranking.types import (
    FILTER_FIELDS,
    MULTIVALUED,
    Attribute,
    Filter,
    Matching,
    Query,
    QueryError,
    Sort,
    VectorField,
)

__all__ = [
    "NO_ATTRIBUTES",
    "NO_WORD",
    "check_condition",
    "check_query",
    "check_types",
    "lacking",
    "token_vectors",
    "told_of_scores",
    "vectors_by_field",
]

NO_ATTRIBUTES: Mapping[str, Attribute] = {}
NO_WORD = "No document has a word of the query."

# The usual type stands first: the abstract ones are slow to ask.
_SEVERAL = (tuple, list)
_SET = (frozenset, *_SEVERAL, AbstractSet)
_MATCHING = get_args(Matching)
_TYPES: tuple[tuple[str, type | tuple[type, ...], type | None, str], ...] = (
    ("text", str, None, "a text"),
    ("profile", str, None, "the name of a profile"),
    ("inputs", (dict, Mapping), str, "numbers by name"),
    ("vectors", (dict, Mapping), str, "vectors by field"),
    ("expansions", (dict, Mapping), str, "weights by term"),
    ("filters", _SEVERAL, Filter, "a tuple of Filter"),
    ("facets", _SEVERAL, str, "a tuple of fields"),
    ("exclude_ids", _SET, None, "a set of ids"),
    ("hidden_captions", _SET, None, "a set of ids"),
    ("group_by", (str, type(None)), None, "a field, or None"),
    ("sort", (Sort, type(None)), None, "a Sort, or None"),
    ("timeout", (float, Real), None, "seconds"),
)
"""Of a query's parts: their types, those of what they hold, and how a message calls them."""


def check_types(query: object) -> None:
    """Refuse what is no query, or holds parts of another type. Raises QueryError."""
    if not isinstance(query, Query):
        raise QueryError(f"Ask with a Query, not {type(query).__name__}.")
    for name, kinds, inner, said in _TYPES:
        value: Any = getattr(query, name)
        right = isinstance(value, kinds)
        if right and inner and value:
            right = all(isinstance(each, inner) for each in value)
        if not right:
            raise QueryError(f"{name} is {repr(value)[:80]}: give {said}.")
    for condition in query.filters:
        _check_filter(condition)
    _check_numbers(query)
    if not isinstance(query.matching, str) or query.matching not in _MATCHING:
        known = " or ".join(map(repr, _MATCHING))
        raise QueryError(f"matching is {query.matching!r}: give {known}.")


def _check_filter(condition: Filter) -> None:
    values: object = condition.values
    texts = isinstance(values, _SEVERAL) and all(isinstance(each, str) for each in values)
    if not isinstance(condition.field, str) or not texts:
        raise QueryError(f"{repr(condition)[:80]} is no condition: name a field, and texts.")


def _check_numbers(query: Query) -> None:
    wholes = (("k", query.k), ("target_hits", query.target_hits), ("offset", query.offset))
    for name, whole in wholes:
        if not isinstance(whole, int | Integral) or whole < 0:
            raise QueryError(f"{name} is {whole!r}: give a whole number, 0 or more.")
    for name, number in query.inputs.items():
        if not isinstance(number, Real) or not abs(number) < math.inf:
            raise QueryError(f"Input {name} is {number!r}: give a finite number.")
    for term, weight in query.expansions.items():
        if not isinstance(weight, Real) or not 0 < weight <= 1:
            raise QueryError(f"The weight of {term} is {weight!r}: give one above 0, up to 1.")
    for vector in (query.vector, *query.vectors.values()):
        if vector is not None and not _is_numbers(vector):
            raise QueryError("The query vector is no array of numbers that float32 can hold.")


def _is_numbers(vector: object) -> bool:
    try:
        found = np.asarray(vector)
    except (ValueError, TypeError):  # rows of several lengths
        return False
    if found.dtype == np.float32:
        return True
    return found.dtype.kind in "fiu" and not (np.abs(found) > np.finfo(np.float32).max).any()


def vectors_by_field(
    query: Query, profile: str, compared: Sequence[VectorField], there: Collection[str]
) -> dict[str, NDArray[np.floating]]:
    """The query's vectors of the fields that its profile compares, by name.

    there: names of all fields. Raises QueryError for a field that is not there, and where the one
    `vector` would be compared with vectors of several encoders.
    """
    for name in query.vectors:
        if name not in there:
            raise QueryError(
                f"The index has no vector field {name}; it has {', '.join(there) or 'none'}."
            )
    found = {f.name: query.vectors[f.name] for f in compared if f.name in query.vectors}
    if query.vector is None:
        return found
    left = [field for field in compared if field.name not in found]
    if len({_maker(field) for field in left}) > 1:
        raise QueryError(
            f"Profile {profile} compares {', '.join(field.name for field in compared)}, of several "
            "encoders: give the query's vectors by field, or search with the index's own encoders."
        )
    return found | {field.name: query.vector for field in left}


def _maker(field: VectorField) -> str:
    """What tells a field's encoder from others."""
    names = vector_field_names(field.name)
    return field.fingerprint or (names.short if names else field.name)


def token_vectors(query: Query, profile: str, field: VectorField) -> NDArray[np.float32]:
    """The query's token vectors for a field of patches: float32 [tokens, dimension].

    Raises QueryError where there are none, their shape is another, or a number is not finite.
    """
    given = query.vectors.get(field.name)
    if given is None or not np.size(given):
        raise QueryError(
            f"Profile {profile} compares the query's tokens with patches, and the query has none: "
            "search by a text and with the encoder, give their vectors in "
            f"Query.vectors[{field.name!r}], or name another profile."
        )
    found = np.asarray(given, np.float32)
    if found.ndim != 2 or found.shape[1] != field.dimension:
        raise QueryError(
            f"The query's token vectors have shape {list(found.shape)}, but {field.name} holds "
            f"vectors of {field.dimension}: give an array [tokens, {field.dimension}]."
        )
    if not np.isfinite(found).all():
        raise QueryError("The query's token vectors hold NaN or infinity.")
    return found


def check_query(query: Query, attributes: Mapping[str, Attribute] = NO_ATTRIBUTES) -> None:
    """Raise QueryError for what no engine can answer. attributes: fields of one's own."""
    if not query.text.strip() and query.vector is None and not query.vectors:
        raise QueryError("The query is empty: give a text, an image or both.")
    if query.expansions and query.operators:
        raise QueryError("Expansions widen plain words: leave them out, or the operators.")
    if query.filters or query.group_by is not None or query.sort or query.facets:
        _check_fields(query, attributes)
    for name, cut in (("min_score", query.min_score), ("min_closeness", query.min_closeness)):
        if cut is not None and not (isinstance(cut, Real) and math.isfinite(cut)):
            raise QueryError(f"{name} is {cut!r}: give a finite number.")
    if not (math.isfinite(query.timeout) and query.timeout > 0):
        raise QueryError(f"A time-out of {query.timeout} s is invalid: give seconds above 0.")


def _check_fields(query: Query, attributes: Mapping[str, Attribute]) -> None:
    for condition in query.filters:
        check_condition(condition, attributes)
    listed = {"grouped": query.group_by, "sorted": query.sort.field if query.sort else None}
    for done, field in (*listed.items(), *(("counted", each) for each in query.facets)):
        if field is None:
            continue
        _check_field(field, attributes)
        if field in MULTIVALUED and done != "counted":
            raise QueryError(f"Hits cannot be {done} by {field}, of which a document has several.")
        kind = attributes[field].type if field in attributes else "keyword"
        if kind == "text" or (kind == "float" and done == "counted"):
            raise QueryError(f"Hits cannot be {done} by {field}, a field of the type {kind}.")


def check_condition(condition: Filter, attributes: Mapping[str, Attribute]) -> None:
    """Raise QueryError for a condition on no field, or with a value that the field cannot have."""
    _check_field(condition.field, attributes)
    attribute = attributes.get(condition.field)
    try:
        if attribute is not None and is_number(attribute):
            for value in condition.values:
                bounds(attribute, value, condition.comparison)
        elif condition.comparison != "=":
            raise QueryError(
                f"{condition.field} is neither a number nor a date: it is compared by = alone, "
                f"not by {condition.comparison}."
            )
        elif attribute is not None and attribute.type == "bool":
            for value in condition.values:
                value_of(attribute, value)
    except AttributeFault as fault:
        raise QueryError(str(fault)) from None


def _check_field(field: str, attributes: Mapping[str, Attribute]) -> None:
    if field not in FILTER_FIELDS and field not in attributes:
        named = ", ".join((*FILTER_FIELDS, *attributes))
        raise QueryError(f"There is no field {field!r} to filter or group by: {named}.")


def told_of_scores(profile: str, scores: NDArray[np.float64]) -> tuple[str, ...]:
    """A warning where there are scores and none of them is a finite number."""
    if not len(scores) or math.isfinite(scores[0]) or np.isfinite(scores).any():
        return ()
    return (f"No score of profile {profile} is a finite number: check its expressions.",)


def lacking(profile: str, retrieve: Collection[str]) -> QueryError:
    """The error of a query that has nothing that its profile retrieves by."""
    needs = " or a ".join(retrieve) or "retriever"
    return QueryError(f"Profile {profile} needs a {needs}, which the query does not have.")
