"""What a document that only words can find must have to be among the hits.

The first phase rises with BM25 and with the dot product, so those that reach a score lie above a
falling curve in the plane of both. A straight line below the curve tells, in one step for
each document, most of those that do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.feature_kernels import Vectors, reach, tolerant
from ranking.engine.compiled.machine import Program

__all__ = ["Demand", "demanded"]

Doubles = NDArray[np.float64]

STEPS = 24
BISECTIONS = 8
# What is compared is added up in float32.
ROUNDING = 1e-5


class Demand(NamedTuple):
    """A BM25 above `floor`; and either one above `sure`, or weight * bm25 + product > cut."""

    floor: float
    sure: float
    weight: float
    cut: float


@compiled
def demanded(
    first: Program, vectors: Vectors, least: float, most: float, top: float, all_vectors: bool
) -> Demand:
    """What a document needs to score `least`.

    most: no product is above it; NaN where none of the documents has a vector to compare. top:
    whoever has a BM25 above it is not to be left out. all_vectors: whether all have vectors.
    """
    edge, step = tolerant(least), top / STEPS
    lowest: Doubles = step * np.arange(float(STEPS))
    floor = lone = top
    compared = vectors.kind > 0 and not np.isnan(most)
    if not all_vectors or not compared:
        lone = floor = _least_bm25(first, vectors, edge, lowest, top, np.bool_(False), 0.0)
    if vectors.kind == 0:
        floor = min(floor, _least_bm25(first, vectors, edge, lowest, top, np.bool_(True), 0.0))
    if not compared:
        return _loosened(floor, floor, 0.0, 0.0, top)
    products = _least_products(first, vectors, edge, lowest + step, most)
    begin, end = 0, STEPS
    while begin < end and products[begin] == np.inf:
        begin += 1
    while end > begin and products[end - 1] == -np.inf:
        end -= 1
    floor = min(lone, step * begin)
    sure = min(lone, step * end)
    if end - begin < 2:
        return _loosened(floor, min(sure, step * begin), 0.0, 0.0, top)
    weight = (products[begin] - products[end - 1]) / (lowest[end - 1] - lowest[begin])
    cut = (weight * lowest[begin:end] + products[begin:end]).min()
    return _loosened(floor, sure, weight, cut, top)


@compiled
def _loosened(floor: float, sure: float, weight: float, cut: float, top: float) -> Demand:
    """A demand that no rounding in float32 makes too strict."""
    loose = 1.0 - ROUNDING
    return Demand(floor * loose, sure * loose, weight, cut - ROUNDING * (abs(cut) + weight * top))


@compiled
def _least_bm25(
    first: Program,
    vectors: Vectors,
    edge: float,
    lowest: Doubles,
    top: float,
    present: bool | np.bool_,
    product: float,
) -> float:
    """A BM25 up to which documents with this product do not reach `edge`; at most `top`.

    First between two of `lowest`, then closer by as many steps again.
    """
    count = len(lowest)
    has, products = np.full(count, present), np.full(count, product)
    low, step = 0.0, top / count
    for _ in range(2):
        upper: Doubles = low + step * np.arange(1.0, count + 1.0)
        reached = reach(first, upper, products, has, vectors) >= edge
        passed = 0
        while passed < count and not reached[passed]:
            passed += 1
        low += step * passed
        if passed == count:
            break
        step /= count
    return low


@compiled
def _least_products(
    first: Program, vectors: Vectors, edge: float, bm25: Doubles, most: float
) -> Doubles:
    """Products up to which documents with so much BM25 do not reach `edge`.

    -inf where every product does, inf where none does, else found by bisection.
    """
    has = np.ones(len(bm25), np.bool_)
    start = -vectors.square if vectors.kind == 1 else most - 2.0 * abs(most)
    low = np.full(len(bm25), start)
    every = reach(first, bm25, low, has, vectors) >= edge
    none = reach(first, bm25, np.full(len(bm25), most), has, vectors) < edge
    step = most - start
    for _ in range(BISECTIONS):
        step /= 2.0
        higher = reach(first, bm25, low + step, has, vectors) < edge
        for row in range(len(low)):
            low[row] += step * higher[row]
    low[none] = np.inf
    low[every] = -np.inf
    return low
