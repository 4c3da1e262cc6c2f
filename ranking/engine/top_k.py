"""Top-k selection for candidates, phases and hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdOrder", "kth_largest", "top_k", "top_rows"]

Rows = NDArray[np.int64]
IdOrder = Callable[[Rows], Rows]
"""Document numbers -> numbers that sort as their ids do."""


def kth_largest(values: NDArray[Any], k: int) -> float:
    """Return the k-th largest of `values`, 1 <= k <= len; no NaN."""
    return float(np.partition(values, len(values) - k)[len(values) - k])


def top_k(keys: NDArray[Any], k: int) -> Rows:
    """Places of the k largest keys, ascending; of equal ones the first are taken."""
    if k <= 0 or len(keys) <= k:
        return np.arange(len(keys) if k > 0 else 0)
    edge = kth_largest(keys, k)
    best = np.flatnonzero(keys >= edge)
    if len(best) > k:
        tied = np.flatnonzero(keys[best] == edge)
        best = np.delete(best, tied[k - len(best) :])
    return best


def top_rows(scores: NDArray[np.float64], docs: Rows, k: int, id_order: IdOrder) -> Rows:
    """Rows of the k best scores, best first, ties by ascending id."""
    rows = np.arange(len(scores))
    if k <= 0:
        return rows[:0]
    if len(scores) > k:
        rows = np.flatnonzero(scores >= kth_largest(scores, k))
    order = np.lexsort((id_order(docs[rows]), -scores[rows]))
    return rows[order[:k]]
