"""The nearest vectors: codes scanned from end to end, the best of them compared exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.kernels import first_best, kth_largest, none, row_dots, scan_codes
from ranking.engine.compiled.register_kernels import bits_above, lowest_bit
from ranking.engine.compiled.term_kernels import Words, marked

__all__ = ["NO_CODE", "Code", "Nearest", "best_products", "bounds_of", "nearest"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Scores = NDArray[np.int32]

BLOCKS = 8
WORD = 64
LOWEST = -(2**31)


class Code(NamedTuple):
    """A query's code, int8 [d], and the documents', int8 [blocks, d, 64].

    unit, differs, outside: a dot product is the codes' product times `unit`, give or take
    `differs` and `outside` times the length of what the document's code leaves out (lengths,
    float32 [n], or [0]); unit is 0 where the codes bound nothing. margin: how far a document among
    the nearest may be below the last of the best codes.
    """

    documents: NDArray[np.int8]
    cells: NDArray[np.int8]
    margin: float
    unit: float
    differs: float
    outside: float
    lengths: Floats


NO_CODE = Code(
    none((0, 0, 0), np.int8), np.empty(0, np.int8), 0.0, 0.0, 0.0, 0.0, none((0,), np.float32)
)


class Nearest(NamedTuple):
    """Documents, numbers ascending, with their dot products; products of all codes, or [0]."""

    docs: Docs
    products: Doubles
    scores: Scores


@compiled
def nearest(code: Code, rows: Floats, query: Floats, away: Words, target: int) -> Nearest:
    """The `target` documents of largest dot product.

    rows: float32 [n, dimension]. away: a bit for each document, set for those that are not to be
    found, or [0].
    """
    scores = np.empty(len(code.documents) * WORD if target > 0 else 0, np.int32)
    if target <= 0:
        return Nearest(np.empty(0, np.int64), np.empty(0), scores)
    if len(scores):
        among = _of_best_code(code, len(rows), away, target, scores)
    else:
        among = _all_but(away, len(rows))
    products = np.empty(len(among))
    row_dots(rows, among, query, products)
    among, products = best_products(among, products, target)
    return Nearest(among, products, scores)


@compiled
def best_products(docs: Docs, products: Doubles, target: int) -> tuple[Docs, Doubles]:
    """The `target` documents of largest product, in the order they came in, and the products."""
    if len(docs) <= target:
        return docs, products
    best = first_best(products, kth_largest(products, target), target)
    return docs[best], products[best]


@compiled
def _all_but(away: Words, size: int) -> Docs:
    docs, filled = np.empty(size, np.int64), 0
    for doc in range(size):
        docs[filled] = doc
        filled += not marked(away, doc)
    return docs[:filled]


@compiled
def _of_best_code(code: Code, size: int, away: Words, keep: int, scores: Scores) -> Docs:
    """The documents of the `keep` best codes and those not further than the margin below."""
    blocks = len(scores) // WORD
    found, kept = np.empty(2 * BLOCKS * WORD, np.int64), np.empty(2 * BLOCKS * WORD, np.int32)
    filled, edge = 0, LOWEST
    for begin in range(0, blocks, BLOCKS):
        end = min(begin + BLOCKS, blocks)
        scan_codes(code.documents[begin:end], code.cells, scores[begin * WORD : end * WORD])
        if end == blocks:
            scores[size:] = LOWEST
        if filled > 2 * keep + WORD:
            filled, edge = _keep_best(found, kept, filled, keep, code.margin, edge)
        if filled + BLOCKS * WORD > len(found):
            found = np.concatenate((found, np.empty_like(found)))
            kept = np.concatenate((kept, np.empty_like(kept)))
        for row in range(begin, end):
            bits = bits_above(scores, WORD * row, np.int32(edge))
            bits &= ~away[row] if len(away) else ~np.uint64(0)
            while bits != np.uint64(0):
                found[filled] = WORD * row + lowest_bit(bits)
                kept[filled] = scores[found[filled]]
                filled += 1
                bits &= bits - np.uint64(1)
    filled, _ = _keep_best(found, kept, filled, keep, code.margin, edge)
    return found[:filled]


@compiled
def _keep_best(
    found: Docs, kept: Scores, filled: int, keep: int, margin: float, edge: int
) -> tuple[int, int]:
    """Move the `keep` best, and those within the margin, to the front; also the new edge."""
    if filled <= keep:
        return filled, edge
    edge = max(int(np.floor(kth_largest(kept[:filled], keep) - margin)) - 1, edge)
    left = 0
    for place in range(filled):
        if kept[place] > edge:
            found[left], kept[left] = found[place], kept[place]
            left += 1
    return left, edge


@compiled
def bounds_of(code: Code, products: Scores, docs: Docs, most: float) -> Doubles:
    """What documents' dot products are at most: float64 [len(docs)].

    By their codes' products, where codes bound, and not above `most`.
    """
    bounds = np.full(len(docs), most)
    if code.unit == 0.0:
        return bounds
    beyond = np.zeros(len(docs), np.float32)
    if len(code.lengths):
        beyond = code.lengths[docs]
    for row in range(len(docs)):
        bound = products[row] * code.unit + code.differs + beyond[row] * code.outside
        bounds[row] = bound if bound < most else most
    return bounds
