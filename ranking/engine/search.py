"""One query over an index: check it, find candidates, rank them, cut the hits."""

from __future__ import annotations

import time
from functools import lru_cache
from numbers import Integral
from typing import get_args

from ranking.engine.candidates import Checked, Route, find_candidates
from ranking.engine.hits import cut_hits
from ranking.engine.phases import rank
from ranking.engine.plan import Plan, query_inputs
from ranking.engine.reader import IndexReader, Masks
from ranking.engine.segment.vectors import query_vector
from ranking.text.query_syntax import Asked, plain, read
from ranking.types import FilterField, Query, QueryError, Result

__all__ = ["search"]

FIELDS: frozenset[str] = frozenset(get_args(FilterField))
NO_WORD = "No document has a word of the query."
NO_TEXT = Asked(())


def search(reader: IndexReader, plan: Plan, query: Query, route: Route) -> Result:
    """Answer one query.

    Raises QueryError where it is at fault.
    """
    started = time.perf_counter()
    asked = _checked(plan, query, reader.size)
    masks = _masks(reader, query, asked)
    found = find_candidates(reader, plan, asked, masks, route)
    retrieved = time.perf_counter()
    ranked = rank(plan, found, asked.depth, reader.id_order)
    columns = cut_hits(reader, plan, query, ranked)
    seconds = {"retrieve": retrieved - started, "rank": time.perf_counter() - retrieved}
    warnings = [NO_WORD] if asked.by_text and not _any_known(reader, plan, asked) else []
    if (took := sum(seconds.values())) > query.timeout:
        warnings.append(
            f"The search took {took:.3g} s, longer than its time-out of {query.timeout:g} s."
        )
    return Result(
        **columns,
        total=found.total,
        coverage=reader.coverage,
        timing=seconds,
        warnings=tuple(warnings),
    )


def _checked(plan: Plan, query: Query, size: int) -> Checked:
    """Check a query against its profile.

    A query that has only one of text and vector uses what it has. Raises QueryError where it
    has neither, or nothing that the profile retrieves by.
    """
    _check_form(query)
    has_text = bool(query.text.strip())
    if not has_text and query.vector is None:
        raise QueryError("The query is empty: give a text, an image or both.")
    text = NO_TEXT
    if has_text and plan.texts:
        text = read(query.text) if query.operators else plain(query.text)
    vectors = {}
    if query.vector is not None:
        vectors = {
            name: query_vector(query.vector, field) for name, field in plan.vector_fields.items()
        }
    by_text = has_text and "text" in plan.retrieve
    by_vector = tuple(vectors) if "vector" in plan.retrieve else ()
    if not by_text and not by_vector:
        raise QueryError(_lacking(plan))
    whole = bool(text.terms) and query.vector is not None
    inputs = (
        query_inputs(plan, query, whole=whole)
        if query.inputs
        else _default_inputs(plan, whole=whole)
    )
    return Checked(
        text,
        vectors,
        inputs,
        by_text,
        by_vector,
        # More than there is takes room and finds nothing.
        target_hits=min(query.target_hits, max(size, 1)),
        weak_and=query.matching == "weakAnd",
        depth=None if query.group_by else max(min(query.k, max(size, 1)), plan.window),
    )


def _check_form(query: Query) -> None:
    """Refuse what the types of a Query would not allow, and Python lets through."""
    if query.filters or query.group_by:
        asked: set[str] = {each.field for each in query.filters} | {query.group_by or "id"}
        for field in sorted(asked - FIELDS):
            named = ", ".join(get_args(FilterField))
            raise QueryError(f"There is no field {field!r} to filter or group by: {named}.")
    for name, value in (("k", query.k), ("target_hits", query.target_hits)):
        if not (type(value) is int or isinstance(value, Integral)) or value < 0:
            raise QueryError(f"{name} is {value!r}: give a whole number, 0 or more.")
    if not query.timeout > 0:
        raise QueryError(f"A time-out of {query.timeout} s is none: give seconds above 0.")


@lru_cache(maxsize=256)
def _default_inputs(plan: Plan, *, whole: bool) -> dict[str, float]:
    """`query_inputs` of a query that sets none itself."""
    return query_inputs(plan, Query(), whole=whole)


def _lacking(plan: Plan) -> str:
    if "vector" in plan.retrieve and not plan.vector_fields:
        return (
            f"Profile {plan.name} searches vectors, but this index has none: index the corpus "
            "with an encoder, or take a profile that searches captions, such as lexical."
        )
    needs = " or a ".join(plan.retrieve) or "retriever"
    return f"Profile {plan.name} needs a {needs}, which the query does not have."


def _masks(reader: IndexReader, query: Query, asked: Checked) -> tuple[Masks, Masks, Masks]:
    """Which documents words, and which vectors, may find, and which have a caption.

    A hidden caption is as one that is not there; None stands for each segment's own.
    """
    allowed = reader.allowed(query.filters, query.exclude_ids)
    words = reader.permitted(allowed, asked.text) if asked.text.bound else allowed
    if query.hidden_captions:
        words = reader.without(words, query.hidden_captions)
        captions: Masks = [segment.has_caption for segment, _ in reader.parts]
        return words, allowed, reader.without(captions, query.hidden_captions)
    return words, allowed, [None] * len(reader.parts)


def _any_known(reader: IndexReader, plan: Plan, asked: Checked) -> bool:
    return any(reader.texts[text].known(asked.text.terms) for text in plan.texts)
