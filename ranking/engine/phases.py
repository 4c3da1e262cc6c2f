"""Rank candidates as Vespa does: first phase, second phase, global phase, each over a window.

Source: https://docs.vespa.ai/en/ranking/phased-ranking.html. Hits that a phase did not rerank
come after those that it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.kernels import kth_largest
from ranking.engine.plan import Plan, Rerank
from ranking.expressions.expression import Expression

__all__ = ["Candidates", "Ranked", "evaluate", "rank", "sortable", "top_rows"]

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
IdOrder = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Candidates:
    """Documents found, and what their profile may read of each: an array, or one number."""

    docs: Rows
    features: Mapping[str, Doubles | float]

    def take(self, rows: Rows | slice) -> Candidates:
        """Return the documents at `rows`, in that order."""
        features = {
            name: value[rows] if isinstance(value, np.ndarray) else value
            for name, value in self.features.items()
        }
        return Candidates(self.docs[rows], features)


@dataclass(frozen=True)
class Ranked:
    """The best candidates, best first, and their scores float64 [n]."""

    found: Candidates
    scores: Doubles


def evaluate(expression: Expression, found: Candidates) -> Doubles:
    """Return the expression's value for each candidate: float64 [n]."""
    values = expression.evaluate(found.features)
    return values if values.ndim else np.full(len(found.docs), values)


def top_rows(scores: Doubles, docs: Rows, count: int, id_order: IdOrder) -> Rows:
    """Rows of the `count` best scores, best first, ties by ascending id.

    id_order: document numbers -> numbers that sort as their ids do.
    """
    rows = np.arange(len(scores))
    if count <= 0:
        return rows[:0]
    if len(scores) > count:
        rows = np.flatnonzero(scores >= kth_largest(scores, count))
    order = np.lexsort((id_order(docs[rows]), -scores[rows]))
    return rows[order[:count]]


def rank(plan: Plan, found: Candidates, scores: Doubles, count: int, id_order: IdOrder) -> Ranked:
    """Run the phases after the first, whose `scores` are given.

    Returns the `count` best, or more where a phase looks at more.
    """
    reranks = [phase for phase in (plan.second, plan.last) if phase is not None]
    rows = top_rows(scores, found.docs, max(count, plan.window), id_order)
    ranked = Ranked(found.take(rows), scores[rows])
    for phase in reranks:
        ranked = _rerank(ranked, phase, id_order)
    return ranked


def sortable(scores: Doubles) -> Doubles:
    """Return the scores with NaN as the lowest, as Vespa ranks it."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _rerank(ranked: Ranked, phase: Rerank, id_order: IdOrder) -> Ranked:
    count = min(phase.count, len(ranked.scores))
    if count == 0:
        return ranked
    window = np.arange(count)
    head = ranked.found.take(window)
    scores = sortable(evaluate(phase.expression, head))
    order = top_rows(scores, head.docs, count, id_order)
    rest = _below(ranked.scores, scores, count)
    rows = np.concatenate([order, np.arange(count, len(ranked.scores))])
    return Ranked(ranked.found.take(rows), np.concatenate([scores[order], rest]))


def _below(before: Doubles, reranked: Doubles, count: int) -> Doubles:
    """Scores of the hits after the window: moved, differences kept, to begin at its lowest."""
    rest = before[count:]
    if len(rest) == 0 or rest[0] <= reranked.min():
        return rest
    return np.asarray(rest - rest[0] + reranked.min(), np.float64)
