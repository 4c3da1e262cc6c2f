"""One query against one view: find candidates, compute features, hand them to the phases."""

from __future__ import annotations

import time
from functools import lru_cache
from numbers import Integral
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Found, Wanted, best_candidates
from ranking.engine.hits import cut_hits
from ranking.engine.phases import rank
from ranking.engine.plan import Plan, query_inputs
from ranking.engine.segment.vectors import query_vector, top
from ranking.engine.view import View
from ranking.text.query_syntax import Asked, plain, read
from ranking.types import FilterField, Query, QueryError, Result

__all__ = ["Wanted", "answer", "wanted"]

FIELDS: frozenset[str] = frozenset(get_args(FilterField))
NO_WORD = "No document has a word of the query."
Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]


def wanted(plan: Plan, query: Query) -> Wanted:
    """Check a query against its profile.

    A query that has only one of text and vector uses what it has. Raises QueryError where it
    has neither, or nothing that the profile retrieves by.
    """
    _check_form(query)
    has_text = bool(query.text.strip())
    if not has_text and query.vector is None:
        raise QueryError("The query is empty: give a text, an image or both.")
    text = Asked(())
    if has_text and ("text" in plan.retrieve or "bm25(caption)" in plan.features):
        text = read(query.text) if query.operators else plain(query.text)
    vector = None
    if query.vector is not None and plan.vector_field is not None:
        vector = query_vector(query.vector, plan.vector_field)
    by_text = has_text and "text" in plan.retrieve
    by_vector = vector is not None and "vector" in plan.retrieve
    if not by_text and not by_vector:
        raise QueryError(_lacking(plan))
    whole = bool(text.terms) and query.vector is not None
    if query.inputs:
        return Wanted(text, vector, query_inputs(plan, query, whole=whole))
    return Wanted(text, vector, _default_inputs(plan, whole=whole))


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
    if "vector" in plan.retrieve and plan.vector_field is None:
        return (
            f"Profile {plan.name} searches vectors, but this index has none: index the corpus "
            "with an encoder, or take a profile that searches captions, such as lexical."
        )
    needs = " or a ".join(plan.retrieve) or "retriever"
    return f"Profile {plan.name} needs a {needs}, which the query does not have."


def answer(view: View, plan: Plan, query: Query, ask: Wanted) -> Result:
    """Answer one query."""
    started = time.perf_counter()
    found = _retrieve(view, plan, query, ask)
    retrieved = time.perf_counter()
    candidates, scores = best_candidates(view, plan, query, ask, found)
    depth = query.k if query.group_by is None else len(scores)
    ranked = rank(plan, candidates, scores, depth, view.id_order)
    timing = {"retrieve": retrieved - started, "rank": time.perf_counter() - retrieved}
    unknown = bool(query.text.strip()) and "text" in plan.retrieve and not found.known
    return Result(
        **cut_hits(view, plan, query, ranked),
        total=found.total,
        coverage=view.coverage,
        timing=timing,
        warnings=(NO_WORD,) if unknown else (),
    )


def _retrieve(view: View, plan: Plan, query: Query, ask: Wanted) -> Found:
    allowed = view.allowed(query.filters, query.exclude_ids)
    bm25 = view.words.bm25(ask.text.terms)
    known = bool(bm25.any())
    if query.hidden_captions:
        bm25[view.having("id", sorted(query.hidden_captions))] = 0.0
    if allowed is not None:
        bm25[~allowed] = 0.0
    if ask.text.bound:
        bm25[~view.satisfying(ask.text)] = 0.0
    near, closeness = np.empty(0, np.int64), np.empty(0)
    field = plan.vector_field
    if "vector" in plan.retrieve and field is not None and ask.vector is not None:
        near, closeness = view.nearest(field.name, ask.vector, query.target_hits, allowed)
    total = len(near)
    if "text" in plan.retrieve:
        if query.matching == "weakAnd":
            _keep_best(bm25, near, query.target_hits)
        total += int(np.count_nonzero(bm25)) - int(np.count_nonzero(bm25[near]))
    return Found(bm25, near, closeness, len(near) >= query.target_hits, total, known)


def _keep_best(bm25: Doubles, near: Docs, count: int) -> None:
    """Let the text find only its `count` best, as weakAnd aims to; features stay exact.

    Vespa's own keeps somewhat more, and which ones depends on the order of feeding.
    """
    if np.count_nonzero(bm25) <= count:
        return
    kept = np.union1d(top(bm25, None, count), near)
    values = bm25[kept]
    bm25[:] = 0.0
    bm25[kept] = values
