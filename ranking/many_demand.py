"""What documents left out need to be among the hits: for each step of BM25 a dot product.

For queries answered together, which know the last hit by words before they ask; a single query
asks as it goes (`ranking.demand_kernels`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.feature_kernels import Vectors, reach, tolerant
from ranking.kernels import compiled
from ranking.machine import Program

__all__ = ["Demand", "demanded"]

Doubles = NDArray[np.float64]

STEPS = 32
GRID = 24


class Demand(NamedTuple):
    """What a document left out must have to reach the last hit wanted.

    BM25 above `floor`; for each `step` of BM25 a dot product above that in `products`, or, without
    a vector, a BM25 above `lone`.
    """

    floor: float
    step: float
    products: Doubles
    lone: float


@compiled
def demanded(
    first: Program, limit: float, farthest: float, vectors: Vectors, least: float
) -> Demand:
    """What a document left out needs to score `least`.

    It has a caption; its BM25 is at most `limit`, and its product at most `farthest` (NaN: all
    documents with a vector are taken, or the query has none).
    """
    step, edge = limit / STEPS, tolerant(least)
    lone = _lowest_step(first, limit, vectors, False, 0.0, edge)
    reached = lone
    products = np.full(STEPS, np.inf)
    if vectors.kind == 0 or not np.isnan(farthest):
        most = farthest if vectors.kind > 0 else 0.0
        reached = min(lone, _lowest_step(first, limit, vectors, True, most, edge))
        products[reached:] = _least_products(
            first, step * np.arange(reached + 1.0, STEPS + 1.0), most, vectors, edge
        )
    return Demand(step * reached, step, products, step * lone)


@compiled
def _lowest_step(
    first: Program, limit: float, vectors: Vectors, present: bool, product: float, edge: float
) -> int:
    """The first step of BM25 at whose upper end the score reaches `edge`; STEPS for none."""
    bm25 = limit * np.arange(1.0, STEPS + 1.0) / STEPS
    reached = reach(first, bm25, np.full(STEPS, product), np.full(STEPS, present), vectors)
    for step in range(STEPS):
        if reached[step] >= edge:
            return step
    return STEPS


@compiled
def _least_products(
    first: Program, bm25: Doubles, farthest: float, vectors: Vectors, edge: float
) -> Doubles:
    """For each BM25 a product up to which documents with at most this BM25 cannot reach `edge`."""
    if vectors.kind == 0:
        return np.full(len(bm25), -np.inf)
    start = -vectors.square if vectors.kind == 1 else farthest - 2.0 * abs(farthest)
    step = (farthest - start) / GRID
    products = np.empty(len(bm25) * GRID)
    for place in range(len(products)):
        products[place] = start + step * (place % GRID + 1)
    present = np.ones(len(products), np.bool_)
    reached = reach(first, np.repeat(bm25, GRID), products, present, vectors)
    found = np.full(len(bm25), np.inf)
    for row in range(len(bm25)):
        for place in range(GRID):
            if reached[row * GRID + place] >= edge:
                found[row] = start + step * place if place else -np.inf
                break
    return found
