"""Logistic regression by Newton's method (IRLS), with a small ridge.

Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, section 4.4.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_logistic"]

Values = NDArray[np.float64]

STEPS = 50
TOLERANCE = 1e-9


def fit_logistic(features: Values, positive: NDArray[np.bool_], ridge: float = 1.0) -> Values:
    """Weights float64 [1 + columns], the bias first, of features [rows, columns].

    Minimises the summed log loss plus ridge / 2 times the squared weights, the bias left free.
    """
    table = np.column_stack([np.ones(len(features)), features])
    target = positive.astype(np.float64)
    penalty = np.full(table.shape[1], ridge)
    penalty[0] = 1e-9
    weights = np.zeros(table.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-np.clip(table @ weights, -35, 35)))
        gradient = table.T @ (expected - target) + penalty * weights
        spread = expected * (1 - expected)
        hessian = (table * spread[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        # A full Newton step may overshoot where classes are nearly separable.
        weights -= step / max(1.0, float(np.abs(step).max()) / 5)
        if np.abs(step).max() < TOLERANCE:
            break
    return weights
