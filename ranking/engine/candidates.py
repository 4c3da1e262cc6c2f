"""The documents that can be among the best hits, with the features their profile reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import copysign

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.kernels import kth_largest
from ranking.engine.phases import Candidates, evaluate, sortable
from ranking.engine.plan import Plan
from ranking.engine.segment.vectors import closeness_to_distance, top
from ranking.engine.view import View
from ranking.text.query_syntax import Asked
from ranking.types import Query

__all__ = ["HEADSTART", "LEAST", "Found", "Wanted", "best_candidates", "tolerant"]

# A first look at this many times the hits wanted, by BM25 alone, and not fewer than LEAST.
HEADSTART = 3
LEAST = 100
# What a bound is computed for: shares of the BM25 left, of documents with and without a vector.
STEPS = np.tile(np.linspace(0.0, 1.0, 16), 2)
HAS_VECTOR = np.repeat([1.0, 0.0], 16)
HAS_CAPTION = np.ones(32)
NUMBERS = np.arange(32)

Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """What a query asks of the retrievers: text and vector where its profile uses them."""

    text: Asked
    vector: NDArray[np.float32] | None
    inputs: Mapping[str, float]


@dataclass(frozen=True)
class Found:
    """What the retrievers found.

    bm25: float64 [size], 0 where a document lacks the words or is filtered out.
    near, closeness: the nearest documents, numbers ascending. cut: whether there may be more
    documents with vectors than these. total: documents that matched. known: whether any
    document at all has a word of the query.
    """

    bm25: Doubles
    near: Docs
    closeness: Doubles
    cut: bool
    total: int
    known: bool


def best_candidates(
    view: View, plan: Plan, query: Query, ask: Wanted, found: Found
) -> tuple[Candidates, Doubles]:
    """Candidates and their first-phase scores float64 [n].

    All documents found; or, where the first phase only rises with BM25 and closeness, those
    that can be among the hits wanted. The documents left out have at most the BM25 of the last
    one taken, and at most the closeness of the farthest neighbour; where both together reach
    the last hit wanted, more are taken. The hits are the same either way.
    """
    if "text" not in plan.retrieve:
        return _scored(view, plan, ask, found, found.near)
    depth = max(query.k, plan.window)
    if _prunable(plan, query, ask):
        count = max(HEADSTART * depth, LEAST)
        texts = top(found.bm25, None, count)
        limit = float(found.bm25[texts].min()) if len(texts) == count else 0.0
        if limit > 0.0:
            candidates, scores = _scored(view, plan, ask, found, _union(texts, found.near))
            least = kth_largest(scores, depth)
            # By words alone, no document left reaches more than the lowest one taken.
            if not plan.reads_vectors and least > scores.min():
                return candidates, scores
            lowest = _bm25_needed(plan, ask, found, limit, least)
            if lowest >= limit:
                return candidates, scores
            texts = np.flatnonzero(found.bm25 > lowest)
            return _scored(view, plan, ask, found, _union(texts, found.near))
    return _scored(view, plan, ask, found, _union(np.flatnonzero(found.bm25), found.near))


def _union(first: Docs, second: Docs) -> Docs:
    """Numbers of either, ascending, each once; both hold no number twice."""
    if len(second) == 0:
        return first
    both = np.concatenate([first, second])
    both.sort()
    kept: Docs = both[np.concatenate([[True], both[1:] != both[:-1]])]
    return kept


def _prunable(plan: Plan, query: Query, ask: Wanted) -> bool:
    field = plan.vector_field
    by_text_only = ask.vector is not None and "vector" not in plan.retrieve
    if query.group_by is not None or query.k <= 0 or (by_text_only and field is not None):
        return False
    return plan.rises(ask.inputs, by_vector=ask.vector is not None)


def _bm25_needed(plan: Plan, ask: Wanted, found: Found, limit: float, least: float) -> float:
    """Return a BM25 up to which no document outside `found.near` can score `least`.

    At most `limit`. Such a document has a caption; it may have a vector or none, and is not
    closer than the farthest of the nearest.
    """
    left = float(found.closeness.min()) if found.cut and len(found.closeness) else 0.0
    values = values_of(plan, ask.inputs, *bound_values(limit, left))
    scores = sortable(evaluate(plan.first, Candidates(NUMBERS, values)))
    return needed(scores.reshape(2, -1).max(axis=0), limit, least)


def needed(reach: Doubles, limit: float, least: float) -> float:
    """The BM25 up to which no document left out can score `least`; at most `limit`.

    reach: what documents score at most that have each of the first half of `STEPS` of `limit`.
    """
    below = reach < tolerant(least)
    return float((STEPS[: len(reach)] * limit).max(initial=0.0, where=below))


def tolerant(least: float) -> float:
    """A little below a score: a function that rises may still fall by a rounding error."""
    return float(least) * (1.0 - copysign(1e-12, least))


def bound_values(limit: float, left: float) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """What documents left out may be at most: bm25, closeness, has_caption, has_vector."""
    return STEPS * limit, HAS_VECTOR * left, HAS_CAPTION, HAS_VECTOR


def _scored(
    view: View, plan: Plan, ask: Wanted, found: Found, docs: Docs
) -> tuple[Candidates, Doubles]:
    closeness, field = np.zeros(len(docs)), plan.vector_field
    if field is not None and ask.vector is not None and plan.reads_closeness:
        others = np.ones(len(docs), np.bool_)
        if len(found.near):
            places = np.searchsorted(docs, found.near)
            closeness[places] = found.closeness
            others[places] = False
        closeness[others] = view.closeness(field.name, ask.vector, docs[others])
    captions = view.has_caption[docs] if plan.reads_has_caption else closeness
    vectors = closeness
    if plan.reads_has_vector and field is not None:
        vectors = view.has_vector(field.name)[docs].astype(np.float64)
    values = values_of(plan, ask.inputs, found.bm25[docs], closeness, captions, vectors)
    candidates = Candidates(docs, values)
    return candidates, sortable(evaluate(plan.first, candidates))


def values_of(
    plan: Plan,
    inputs: Mapping[str, float],
    bm25: Doubles,
    closeness: Doubles,
    has_caption: Doubles,
    has_vector: Doubles,
) -> Mapping[str, Doubles | float]:
    """Every feature that the plan reads, by its canonical name."""
    values: dict[str, Doubles | float] = dict(inputs)
    for name in plan.features:
        if name == "bm25(caption)":
            values[name] = bm25
        elif name == "attribute(has_caption)":
            values[name] = has_caption
        elif name.startswith("attribute(has_vector"):
            values[name] = has_vector
        elif name.startswith("closeness("):
            values[name] = closeness
        elif name.startswith("distance("):
            metric = plan.vector_field.distance if plan.vector_field else "angular"
            values[name] = closeness_to_distance(closeness, metric)
    return values
