"""One query against one view: find candidates, compute features, hand them to the phases."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ranking.phases import Candidates, Ranked, evaluate, rank
from ranking.plan import Plan, query_inputs
from ranking.profile import inputs_of_half_a_query
from ranking.text import query_terms
from ranking.types import Coverage, Query, QueryError, Result, VectorField
from ranking.vectors import closeness_to_distance, nearest, query_vector
from ranking.view import View

__all__ = ["Wanted", "answer", "wanted"]

NO_WORD = "No document has a word of the query."

Doubles = NDArray[np.float64]
Products = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """What a query asks of the retrievers: terms and vector where its profile uses them."""

    terms: tuple[str, ...]
    vector: NDArray[np.float32] | None
    inputs: Mapping[str, float]


@dataclass(frozen=True)
class Answered:
    """What a result says beside its hits."""

    total: int
    timing: Mapping[str, float]
    warnings: tuple[str, ...]


def wanted(plan: Plan, query: Query) -> Wanted:
    """Check a query against its profile.

    A query that has only one of text and vector uses what it has. Raises QueryError where it
    has neither, or nothing that the profile retrieves by.
    """
    has_text = bool(query.text.strip())
    if not has_text and query.vector is None:
        raise QueryError("The query is empty: give a text, an image or both.")
    terms: tuple[str, ...] = ()
    if has_text and ("text" in plan.retrieve or "bm25(caption)" in plan.features):
        terms = tuple(query_terms(query.text))
    vector = None
    if query.vector is not None and plan.vector_field is not None:
        vector = query_vector(query.vector, plan.vector_field)
    by_text = has_text and "text" in plan.retrieve
    by_vector = vector is not None and "vector" in plan.retrieve
    if not by_text and not by_vector:
        raise QueryError(_lacking(plan))
    half = inputs_of_half_a_query(
        plan.inputs, query.inputs, text=bool(terms), vector=vector is not None
    )
    inputs = query_inputs(plan, replace(query, inputs={**half, **query.inputs}))
    return Wanted(terms, vector, inputs)


def _lacking(plan: Plan) -> str:
    if "vector" in plan.retrieve and plan.vector_field is None:
        return (
            f"Profile {plan.name} searches vectors, but this index has none: index the corpus "
            "with an encoder, or take a profile that searches captions, such as lexical."
        )
    needs = " or a ".join(plan.retrieve) or "retriever"
    return f"Profile {plan.name} needs a {needs}, which the query does not have."


def answer(
    view: View, plan: Plan, query: Query, ask: Wanted, dots: Products | None = None
) -> Result:
    """Answer one query.

    dots: products of its vector with all documents, float32 [documents], if they are at hand.
    """
    started = time.perf_counter()
    found, known = _candidates(view, plan, query, ask, dots)
    retrieved = time.perf_counter()
    depth = query.k if query.group_by is None else len(found.docs)
    ranked = rank(plan, found, depth, view.id_order)
    timing = {"retrieve": retrieved - started, "rank": time.perf_counter() - retrieved}
    warnings = () if known or not query.text.strip() else (NO_WORD,)
    return _result(view, plan, query, ranked, Answered(len(found.docs), timing, warnings))


def _candidates(
    view: View, plan: Plan, query: Query, ask: Wanted, dots: Products | None
) -> tuple[Candidates, bool]:
    """Union what the retrievers find; also say whether any document has a word of the query."""
    allowed = view.allowed(query.filters, query.exclude_ids)
    bm25 = view.bm25(ask.terms)
    known = bool(bm25.any()) or "text" not in plan.retrieve
    _hide_captions(view, query, bm25)
    field = plan.vector_field
    matched = np.zeros(view.size, np.bool_)
    if field is not None and ask.vector is not None:
        dots = view.dots(field.name, ask.vector[None])[0] if dots is None else dots
        if "vector" in plan.retrieve:
            matched[_nearest(view, field, ask.vector, dots, allowed, query.target_hits)] = True
    if "text" in plan.retrieve:
        matched[_text_hits(query, bm25, allowed)] = True
    docs = np.flatnonzero(matched)
    return Candidates(docs, _feature_values(view, plan, ask, docs, bm25[docs], dots)), known


def _hide_captions(view: View, query: Query, bm25: Doubles) -> None:
    """Set bm25 float64 [documents] to 0 for the query's hidden captions."""
    if query.hidden_captions:
        bm25[view.having("id", sorted(query.hidden_captions))] = 0.0


def _text_hits(query: Query, bm25: Doubles, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Numbers of the documents that the text finds.

    `or`: every document with a word of the query. `weakAnd`: the best `target_hits` of them;
    Vespa's own keeps somewhat more, which ones depends on the order of feeding.
    """
    scores = bm25 if allowed is None else np.where(allowed, bm25, 0.0)
    hits = np.flatnonzero(scores)
    if query.matching == "or" or len(hits) <= query.target_hits:
        return hits
    return hits[np.argsort(-scores[hits], kind="stable")[: query.target_hits]]


def _nearest(
    view: View,
    field: VectorField,
    vector: NDArray[np.float32],
    dots: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    count: int,
) -> NDArray[np.int64]:
    keys = view.order_keys(field.name, vector, dots)
    there = view.has_vector(field.name)
    there = there if allowed is None else there & allowed
    return nearest(keys, None if there.all() else there, count)


def _feature_values(
    view: View,
    plan: Plan,
    ask: Wanted,
    docs: NDArray[np.int64],
    bm25: Doubles,
    dots: NDArray[np.float32] | None,
) -> dict[str, Doubles | float]:
    """Every feature that the plan reads, for documents numbered `docs` (ascending)."""
    values: dict[str, Doubles | float] = dict(ask.inputs)
    field = plan.vector_field
    closeness: Doubles = np.zeros(len(docs))
    if field is not None and ask.vector is not None:
        closeness = view.closeness(field.name, ask.vector, docs, dots)
    for name in plan.features:
        if name == "bm25(caption)":
            values[name] = bm25
        elif name == "attribute(has_caption)":
            values[name] = view.has_caption[docs]
        elif name.startswith("attribute(has_vector"):
            values[name] = (
                np.zeros(len(docs)) if field is None else view.has_vector(field.name)[docs] * 1.0
            )
        elif name.startswith("closeness("):
            values[name] = closeness
        elif name.startswith("distance("):
            metric = "prenormalized-angular" if field is None else field.distance
            values[name] = closeness_to_distance(closeness, metric)
    return values


def _result(
    view: View,
    plan: Plan,
    query: Query,
    ranked: Ranked,
    answered: Answered,
) -> Result:
    """Cut the hits out of the ranked candidates."""
    best, scores = ranked.found, ranked.scores
    rows = np.arange(min(max(query.k, 0), len(scores)))
    if query.group_by is not None:
        rows = _first_of_each_group(view, query, best)
    best, scores = best.take(rows), scores[rows]
    return Result(
        ids=view.ids_of(best.docs),
        scores=scores,
        features={name: evaluate(shown, best) for name, shown in plan.shown.items()},
        documents=tuple(view.document(int(doc)) for doc in best.docs)
        if query.with_documents
        else (),
        total=answered.total,
        coverage=Coverage(documents=view.count),
        timing=answered.timing,
        warnings=answered.warnings,
    )


def _first_of_each_group(view: View, query: Query, best: Candidates) -> NDArray[np.int64]:
    if query.group_by is None or query.group_by == "concepts":
        raise QueryError("Hits cannot be grouped by concepts, of which a document has several.")
    seen: set[str] = set()
    rows: list[int] = []
    for row, doc in enumerate(best.docs):
        value = view.value(query.group_by, int(doc))
        if value not in seen:
            seen.add(value)
            rows.append(row)
        if len(rows) >= query.k:
            break
    return np.asarray(rows, np.int64)
