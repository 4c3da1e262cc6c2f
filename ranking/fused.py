"""Queries alike, answered together: one compiled call each, one evaluation for all.

The hits are those of `retrieval.answer`, which serves whatever does not fit here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import (
    HEADSTART,
    LEAST,
    STEPS,
    Wanted,
    bound_values,
    needed,
    tolerant,
    values_of,
)
from ranking.fused_kernels import find, unite
from ranking.hits import cut_hits
from ranking.kernels import kth_largest
from ranking.phases import Candidates, evaluate, rank, sortable
from ranking.plan import Plan
from ranking.retrieval import NO_WORD
from ranking.sketch import Code
from ranking.types import Coverage, Query, Result
from ranking.vectors import closeness_of_products
from ranking.view import View

__all__ = ["Alike", "answer_alike", "fits"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Alike = tuple[Query, Wanted]

NO_ROWS = np.empty((0, 0), np.float32)
NO_CODES = (np.empty((0, 0), np.int8), np.empty(0, np.int8), 0.0)
NO_VECTOR = np.empty(0, np.float32)
NO_DOCS = np.empty(0, np.int64)
ALL_PRESENT = np.empty(0, np.bool_)
NO_REACH = np.empty(0)


@dataclass
class Found:
    """One query's candidates (`find` says what each part is), all BM25, and the query's code."""

    docs: Docs
    dots: Doubles
    near: Docs
    products: Doubles
    codes: NDArray[np.int32]
    limit: float
    total: int
    known: bool
    bm25: Doubles
    code: Code | None


def fits(view: View, plan: Plan, query: Query, ask: Wanted) -> bool:
    """Whether `answer_alike` can answer: one segment, float cells, and a first phase that rises."""
    if len(view.parts) != 1 or view.alive is not None or query.k <= 0:
        return False
    if query.filters or query.group_by or query.matching != "or" or ask.text.bound:
        return False
    field = plan.vector_field
    if field is not None and (
        field.cell_type != "float" or field.distance not in ("prenormalized-angular", "dotproduct")
    ):
        return False
    if ask.vector is not None and "vector" not in plan.retrieve:
        return False
    return "text" not in plan.retrieve or plan.rises(ask.inputs, by_vector=ask.vector is not None)


def answer_alike(view: View, plan: Plan, asked: Sequence[Alike]) -> list[Result]:
    """Answer queries of one profile that all fit and share their inputs."""
    found = [_find(view, plan, query, ask) for query, ask in asked]
    scored = _score(view, plan, asked, found, with_bounds=True)
    again = [
        row
        for row, ((query, ask), each) in enumerate(zip(asked, found, strict=True))
        if each.limit > 0.0 and _take_more(view, plan, query, ask, each, scored[row])
    ]
    if again:
        rows = [asked[row] for row in again], [found[row] for row in again]
        for row, anew in zip(again, _score(view, plan, *rows, with_bounds=False), strict=True):
            scored[row] = anew
    return [
        _result(view, plan, query, *each)
        for (query, _), each in zip(asked, zip(found, scored, strict=True), strict=True)
    ]


def _take_more(
    view: View, plan: Plan, query: Query, ask: Wanted, found: Found, scored: Scored
) -> bool:
    """Add the documents that were left out and may be among the hits; return whether any may."""
    least = kth_largest(scored.scores, max(query.k, plan.window))
    lowest = needed(scored.reach, found.limit, least)
    if lowest >= found.limit:
        return False
    docs = np.flatnonzero(found.bm25 > lowest)
    if found.code is not None and found.code.unit > 0.0:
        # The codes tell how close each of them can be at most.
        dots = found.codes[docs].astype(np.float64) * found.code.unit + found.code.differs
        values = values_of(plan, ask.inputs, *_parts(view, plan, ask, docs, found.bm25[docs], dots))
        reach = sortable(evaluate(plan.first, Candidates(docs, values)))
        docs = docs[reach >= tolerant(least)]
    vectors = _vectors(view, plan, ask)
    found.docs, found.dots = unite(docs, found.near, found.products, vectors)
    return True


def _parts(
    view: View, plan: Plan, ask: Wanted, docs: Docs, bm25: Doubles, dots: Doubles
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """bm25, closeness, has_caption and has_vector of documents."""
    closeness = _closeness(plan, ask, dots)
    captions = view.has_caption[docs] if plan.reads_has_caption else bm25
    field = plan.vector_field
    if field is None or (view.complete(field.name) and not plan.reads_has_vector):
        return bm25, closeness, captions, closeness
    present = view.has_vector(field.name)[docs]
    return bm25, np.where(present, closeness, 0.0), captions, present.astype(np.float64)


@dataclass
class Scored:
    """Candidates of one query with their first-phase scores, and what those left out may reach."""

    candidates: Candidates
    scores: Doubles
    reach: Doubles


def _find(view: View, plan: Plan, query: Query, ask: Wanted) -> Found:
    segment = view.parts[0][0]
    lexical = segment.lexical
    bm25 = np.zeros(view.size)
    count = max(HEADSTART * max(query.k, plan.window), LEAST)
    target, keep, codes, code = 0, 0, NO_CODES, None
    present = ALL_PRESENT
    field = plan.vector_field
    if field is not None and ask.vector is not None:
        index = segment.vectors[field.name]
        target = query.target_hits
        present = ALL_PRESENT if index.complete else index.present
        sketch = index.sketch
        if sketch is not None and (sketch.certain or not view.exact):
            keep, code = sketch.wanted(target), sketch.code(ask.vector)
            codes = (sketch.codes, code.cells, code.margin)
    found = find(
        lexical.docs,
        lexical.tfs,
        view.weighted(ask.text.terms),
        view.norms[0],
        bm25,
        _numbers(view, query.hidden_captions),
        _numbers(view, query.exclude_ids),
        count,
        "text" in plan.retrieve,
        codes,
        _vectors(view, plan, ask),
        present,
        target,
        keep,
    )
    return Found(*found, bm25, code)


def _numbers(view: View, identifiers: frozenset[str]) -> Docs:
    if not identifiers:
        return NO_DOCS
    numbers = [view.number(identifier) for identifier in identifiers]
    return np.array([number for number in numbers if number is not None], np.int64)


def _vectors(
    view: View, plan: Plan, ask: Wanted
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    field = plan.vector_field
    if field is None or ask.vector is None:
        return NO_ROWS, NO_VECTOR
    return view.parts[0][0].vectors[field.name].stored, ask.vector


def _score(
    view: View,
    plan: Plan,
    asked: Sequence[Alike],
    found: Sequence[Found],
    *,
    with_bounds: bool,
) -> list[Scored]:
    """Evaluate the first phase for all candidates of all queries at once.

    with_bounds: also for what documents that were left out might be.
    """
    each_parts = [
        _parts(view, plan, ask, each.docs, each.bm25[each.docs], each.dots)
        for (_, ask), each in zip(asked, found, strict=True)
    ]
    parts = [np.concatenate(part) for part in zip(*each_parts, strict=True)]
    size = len(parts[0])
    if with_bounds:
        bounds = [
            bound_values(each.limit, _left(plan, query, ask, each))
            for (query, ask), each in zip(asked, found, strict=True)
        ]
        parts = [
            np.concatenate([part, *more])
            for part, more in zip(parts, zip(*bounds, strict=True), strict=True)
        ]
    inputs = asked[0][1].inputs
    together = Candidates(np.arange(len(parts[0])), values_of(plan, inputs, *parts))
    scores = sortable(evaluate(plan.first, together))
    reach = scores[size:].reshape(-1, 2, len(STEPS) // 2).max(axis=1) if with_bounds else None
    ends = np.cumsum([len(each.docs) for each in found]).tolist()
    scored = []
    for row, (end, each) in enumerate(zip(ends, found, strict=True)):
        where = slice(end - len(each.docs), end)
        features = {
            name: value[where] if isinstance(value, np.ndarray) else value
            for name, value in together.features.items()
        }
        own = NO_REACH if reach is None else reach[row]
        scored.append(Scored(Candidates(each.docs, features), scores[where], own))
    return scored


def _closeness(plan: Plan, ask: Wanted, dots: Doubles) -> Doubles:
    field = plan.vector_field
    if field is None or ask.vector is None:
        return np.zeros(len(dots))
    return closeness_of_products(dots, ask.vector, None, field.distance)


def _left(plan: Plan, query: Query, ask: Wanted, found: Found) -> float:
    """The closeness that no document left out exceeds."""
    if ask.vector is None or len(found.products) < query.target_hits or not len(found.products):
        return 0.0
    return float(_closeness(plan, ask, found.products.min(keepdims=True))[0])


def _result(view: View, plan: Plan, query: Query, found: Found, scored: Scored) -> Result:
    ranked = rank(plan, scored.candidates, scored.scores, query.k, view.id_order)
    unknown = bool(query.text.strip()) and "text" in plan.retrieve and not found.known
    return Result(
        **cut_hits(view, plan, query, ranked),
        total=found.total,
        coverage=Coverage(documents=view.count),
        warnings=(NO_WORD,) if unknown else (),
    )
