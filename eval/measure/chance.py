"""The exact expected metric of a random ranking.

Exact expectations over all orders of the pool, not simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.collection.runs import Qrels
from eval.measure.metrics import DEEPEST, Metric

__all__ = ["chance", "small_figure"]

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


def chance(qrels: Qrels, pool: Counts, metrics: Sequence[Metric]) -> dict[str, float]:
    """Name -> mean expected value over the queries.

    pool: int [queries], how many documents each query could return (excluded ones are not).
    """
    return {
        str(metric): float(_EXPECTED[metric.measure](qrels, pool, metric.cutoff).mean())
        if len(pool)
        else 0.0
        for metric in metrics
    }


def small_figure(value: float) -> str:
    """Three digits, four where three would round a small figure to nothing."""
    return f"{value:.3f}" if value == 0 or value >= 0.001 else f"{value:.4f}"


def _first_at(relevant: Counts, pool: Counts, cutoff: int) -> Values:
    """P(the first relevant document stands at rank i), float64 [queries, cutoff]."""
    ranks = np.arange(cutoff)
    left = np.maximum(pool[:, None] - ranks, 1.0)
    hit = np.minimum(relevant[:, None] / left, 1.0) * (ranks < pool[:, None])
    missed_before = np.cumprod(np.hstack([np.ones((len(pool), 1)), 1 - hit[:, :-1]]), axis=1)
    return np.asarray(hit * missed_before)


def _reciprocal_rank(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    return _first_at(qrels.relevant, pool, cutoff) @ (1.0 / np.arange(1, cutoff + 1))


def _success(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    return np.asarray(_first_at(qrels.relevant, pool, cutoff).sum(axis=1))


def _recall(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    return np.minimum(cutoff / np.maximum(pool, 1), 1.0) * (qrels.relevant > 0)


def _precision(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    return np.minimum(pool, cutoff) / cutoff * qrels.relevant / np.maximum(pool, 1)


def _average_precision(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    relevant = qrels.relevant[:, None]
    ranks = np.arange(1, (cutoff or DEEPEST) + 1)
    others = np.maximum(pool - 1, 1)[:, None]
    at_rank = (1 + (ranks - 1) * (relevant - 1) / others) / ranks
    counted = (ranks <= pool[:, None]) & (relevant > 0)
    summed = (at_rank * (counted if cutoff else counted & (ranks <= relevant))).sum(axis=1)
    if cutoff:
        return np.asarray(summed / np.maximum(pool, 1))
    deepest = np.clip(qrels.relevant, 1, DEEPEST)
    return np.asarray(summed * qrels.relevant / np.maximum(pool, 1) / deepest)


def _r_precision(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    return qrels.relevant / np.maximum(pool, 1)


def _ndcg(qrels: Qrels, pool: Counts, cutoff: int) -> Values:
    discounts = 1.0 / np.log2(np.arange(2, cutoff + 2))
    shown = (np.arange(cutoff) < pool[:, None]) @ discounts
    expected = np.asarray(qrels.grades.sum(axis=1)) / np.maximum(pool, 1) * shown
    ideal = qrels.ideal(cutoff) @ discounts
    out = np.zeros(len(pool))
    np.divide(expected, ideal, out=out, where=ideal > 0)
    return out


_EXPECTED: dict[str, Callable[[Qrels, Counts, int], Values]] = {
    "RR": _reciprocal_rank,
    "Success": _success,
    "R": _recall,
    "P": _precision,
    "AP": _average_precision,
    "Rprec": _r_precision,
    "nDCG": _ndcg,
}
