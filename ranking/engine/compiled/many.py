"""Queries of one profile answered together, in one compiled call: see `many_kernels`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Wanted
from ranking.engine.compiled.finish import Best, finished
from ranking.engine.compiled.fused import fitting
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.many_kernels import Answers
from ranking.engine.compiled.many_layout import Masks, Questions, Searched, Task
from ranking.engine.compiled.register_kernels import QUERIES
from ranking.engine.compiled.sought import masks_of, outside, sought
from ranking.engine.plan import Plan
from ranking.engine.view import View
from ranking.types import Query, Result

__all__ = ["Together", "kind", "laid_out", "results_of"]

Asked = tuple[Query, Wanted]


def kind(view: View, plan: Plan, query: Query, ask: Wanted) -> Hashable | None:
    """What queries must share to be answered together; None for one that has to go alone.

    That is: of several segments, with operators, without codes to scan, or not `fitting`.
    """
    first = fitting(view, plan, query, ask)
    if first is None or len(view.parts) != 1 or ask.text.bound:
        return None
    if plan.vector_field is not None and ask.vector is not None:
        sketch = view.parts[0][0].vectors[plan.vector_field.name].sketch
        if sketch is None or (view.exact and not sketch.certain):
            return None
    by_vector = ask.vector is not None
    return plan.name, id(first), by_vector, query.target_hits, query.k, query.filters


class Together(NamedTuple):
    """Queries of one `kind`, laid out for `search_many`.

    known: for each whether the index has a word of it, if words are looked for at all.
    """

    asked: Sequence[Asked]
    task: Task
    known: Sequence[bool]


def laid_out(view: View, plan: Plan, first: Program, asked: Sequence[Asked]) -> Together:
    """Lay queries of one `kind` out; `first`: their first phase."""
    query, ask = asked[0]
    part = sought(view, plan, query, ask)[0]
    segment = Searched(part.words, part.near, part.vectors, part.about)
    questions = _questions(view, plan, asked)
    by_words, depth = "text" in plan.retrieve, max(query.k, plan.window)
    task = Task(segment, _masks(view, plan, asked), questions, first, by_words, depth)
    return Together(asked, task, _known(plan, asked, questions))


def results_of(
    view: View, plan: Plan, together: Together, found: Answers, seconds: float
) -> list[Result]:
    """The queries' results in their order; `seconds`: what the search of each took."""
    results = []
    counts = zip(found.sizes.tolist(), found.totals.tolist(), strict=True)
    for place, (size, total) in enumerate(counts):
        best = Best(
            found.docs[place, :size],
            found.scores[place, :size],
            found.features[place, :, :size],
            total,
            together.known[place],
        )
        results.append(finished(view, plan, *together.asked[place], best, seconds))
    return results


def _questions(view: View, plan: Plan, asked: Sequence[Asked]) -> Questions:
    terms = [ask.text.terms for _, ask in asked]
    first = np.zeros(len(asked) + 1, np.int64)
    np.cumsum([len(each) for each in terms], out=first[1:])
    laid = view.words.laid([term for each in terms for term in each], 0)
    return Questions(first, *laid, *_codes(view, plan, asked))


def _codes(
    view: View, plan: Plan, asked: Sequence[Asked]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    """Vectors, their squares, codes and the codes' scales; as many codes as `products_of` takes."""
    vectors = [ask.vector for _, ask in asked if ask.vector is not None]
    size, spare = len(asked), -len(asked) % QUERIES
    sketch = None
    if plan.vector_field is not None and vectors:
        sketch = view.parts[0][0].vectors[plan.vector_field.name].sketch
    if sketch is None:  # they have no vectors: see `kind`
        nothing = np.zeros((size, 0), np.float32), np.zeros(size)
        return *nothing, np.zeros((size + spare, 0), np.int8), np.zeros((size, 4))
    stacked = np.stack(vectors)
    cells, scales = sketch.code_all(stacked)
    squares = np.array([np.dot(row, row) for row in stacked.astype(np.float64)])
    return stacked, squares, np.pad(cells, ((0, spare), (0, 0))), scales


def _masks(view: View, plan: Plan, asked: Sequence[Asked]) -> Masks:
    """Every mask once, and which each query has."""
    gone = outside(view, asked[0][0].filters)
    masks = [masks_of(view, plan, query, ask, gone)[0] for query, ask in asked]
    distinct = {id(mask): mask for pair in masks for mask in pair if len(mask)}
    places = {identity: place for place, identity in enumerate(distinct)}
    barred, away = (
        np.array([places.get(id(pair[side]), -1) for pair in masks], np.int64) for side in (0, 1)
    )
    bits = np.stack([*distinct.values()]) if distinct else np.zeros((1, 0), np.uint64)
    return Masks(bits, barred, away)


def _known(plan: Plan, asked: Sequence[Asked], questions: Questions) -> list[bool]:
    """For each query, whether the index has a word of it, if words are looked for at all."""
    found = np.zeros(len(asked), np.bool_)
    some = np.flatnonzero(questions.ends > questions.starts)
    found[np.searchsorted(questions.first, some, "right") - 1] = True
    if "text" not in plan.retrieve:
        found[:] = True
    return [
        known or not query.text.strip()
        for known, (query, _) in zip(found.tolist(), asked, strict=True)
    ]
