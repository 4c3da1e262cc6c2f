"""First, second and global phase, each over its window, as in Vespa.

Source: https://docs.vespa.ai/en/ranking/phased-ranking.html. Hits that a phase did not rerank
come after those that it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Candidates
from ranking.engine.plan import Plan, Rerank
from ranking.engine.top_k import IdOrder, Rows, top_rows
from ranking.expressions.expression import Expression

__all__ = ["Ranked", "evaluate", "rank"]

Doubles = NDArray[np.float64]
Late = Callable[[Candidates], Candidates]


@dataclass(frozen=True)
class Ranked:
    """The best candidates, best first: their rows among all found, and scores float64 [n]."""

    found: Candidates
    rows: Rows
    scores: Doubles


def evaluate(expression: Expression, found: Candidates) -> Doubles:
    """Return the expression's value for each candidate: float64 [n]."""
    values = expression.evaluate(found.features)
    return values if values.ndim else np.full(len(found.docs), values)


def rank(plan: Plan, found: Candidates, depth: int | None, id_order: IdOrder, late: Late) -> Ranked:
    """Run all phases.

    late: adds the features of `Plan.late` to candidates. Returns the `depth` best, or more where a
    phase looks at more; None: all.
    """
    scores = found.scores
    if any(name in plan.late for name in plan.first.features):
        found = late(found)
    if scores is None:
        scores = _sortable(evaluate(plan.first, found))
    count = len(scores) if depth is None else max(depth, plan.window)
    rows = top_rows(scores, found.docs, count, id_order)
    kept = scores[rows]
    if plan.late:  # theirs alone are computed
        found, rows = late(found.take(rows)), np.arange(len(rows))
    ranked = Ranked(found, rows, kept)
    for phase in (plan.second, plan.last):
        if phase is not None:
            ranked = _rerank(ranked, phase, id_order)
    return ranked


def _sortable(scores: Doubles) -> Doubles:
    """Return the scores with NaN as the lowest, as Vespa ranks it."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _rerank(ranked: Ranked, phase: Rerank, id_order: IdOrder) -> Ranked:
    count = min(phase.count, len(ranked.scores))
    if count == 0:
        return ranked
    head = ranked.found.take(ranked.rows[:count])
    scores = _sortable(evaluate(phase.expression, head))
    order = top_rows(scores, head.docs, count, id_order)
    rest = _below(ranked.scores, scores, count)
    rows = np.concatenate([ranked.rows[order], ranked.rows[count:]])
    return Ranked(ranked.found, rows, np.concatenate([scores[order], rest]))


def _below(before: Doubles, reranked: Doubles, count: int) -> Doubles:
    """Scores of the hits after the window, as Vespa moves and scales them to lie below it.

    Where the window's lowest score has fallen, the line that takes its range before to its range
    now, none counted as less than 1, takes the rest along (measured to 1e-15; Vespa's HitCollector
    for the second phase, RangeAdjuster for the global one).
    """
    window, rest = before[:count], before[count:]
    low, least = window.min(), reranked.min()
    if not low > least:
        return rest
    if not np.isfinite(least):
        return np.full(len(rest), least)
    scale = max(reranked.max() - least, 1.0) / max(window.max() - low, 1.0)
    return np.asarray((rest - low) * scale + least, np.float64)
