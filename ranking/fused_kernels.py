"""A query's whole retrieval in one compiled call: what `retrieval` does, without its overhead.

numpy's share of a small query is mostly the cost of calling it; here are no such calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import add_bm25, compiled, kth_largest, row_dots, scan_codes

__all__ = ["find", "unite"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Scores = NDArray[np.int32]


@compiled
def find(  # noqa: PLR0917 - arrays; a compiled function takes no keywords
    docs: NDArray[np.uint32],
    tfs: NDArray[np.uint16],
    terms: tuple[Docs, Docs, Doubles],
    norms: Doubles,
    bm25: Doubles,
    silent: Docs,
    barred: Docs,
    count: int,
    by_text: bool,
    codes: tuple[NDArray[np.int8], NDArray[np.int8], float],
    vectors: tuple[Floats, Floats],
    present: NDArray[np.bool_],
    target: int,
    keep: int,
) -> tuple[Docs, Doubles, Docs, Doubles, Scores, float, int, bool]:
    """Find candidates for one query.

    terms: starts and ends of postings, and weights. bm25: float64 [n], zeros; is filled.
    silent: documents whose BM25 reads as 0; barred: those that cannot be found. count: how many
    of best BM25 to take; by_text: whether text finds documents at all. codes: int8 [n, d] (or none)
    with the query's code and margin. vectors: float32 [n, dimension] and the query's.
    present: bool [n], which documents have a vector; [0] where all have.
    target: nearest wanted, 0 for none; keep: how many of best code to compare.

    Returns the candidates' numbers (ascending) and dot products; the nearest and theirs; the
    codes' scores int32 [n], [0] without codes; the BM25 that no document left out exceeds; the
    number found; whether any has a word at all.
    """
    starts, ends, weights = terms
    total = add_bm25(docs, tfs, starts, ends, weights, norms, bm25)
    known = total > 0
    for doc in silent:
        total -= _silence(bm25, doc)
    for doc in barred:
        total -= _silence(bm25, doc)
    texts, limit = np.empty(0, np.int64), 0.0
    if not by_text:
        total = 0
    elif total <= count:
        texts = np.flatnonzero(bm25)
    else:
        limit = kth_largest(bm25, count)
        texts = _first_best(bm25, limit, count)
    near, products = np.empty(0, np.int64), np.empty(0, np.float64)
    scores = np.empty(len(codes[0]) if target > 0 else 0, np.int32)
    if target > 0:
        near, products = _nearest(codes, vectors, present, barred, target, keep, scores)
    for doc in near:
        total += 0 if by_text and bm25[doc] > 0 else 1
    found, dots = unite(texts, near, products, vectors)
    return found, dots, near, products, scores, limit, total, known


@compiled
def _silence(bm25: Doubles, doc: int) -> int:
    """Set a document's BM25 to 0; return 1 where it was not."""
    if bm25[doc] == 0.0:
        return 0
    bm25[doc] = 0.0
    return 1


@compiled
def _first_best(values: Doubles, edge: float, count: int) -> Docs:
    """Places of values above `edge`, and of the first that equal it, `count` in all; ascending.

    edge: the `count`-th largest value.
    """
    above, equal = np.empty(count, np.int64), np.empty(count, np.int64)
    more, same = 0, 0
    for place in range(len(values)):
        if values[place] > edge:
            above[more] = place
            more += 1
        elif values[place] == edge and same < count:
            equal[same] = place
            same += 1
    places = np.concatenate((above[:more], equal[: count - more]))
    places.sort()
    return places


@compiled
def _nearest(
    codes: tuple[NDArray[np.int8], NDArray[np.int8], float],
    vectors: tuple[Floats, Floats],
    present: NDArray[np.bool_],
    barred: Docs,
    target: int,
    keep: int,
    scores: Scores,
) -> tuple[Docs, Doubles]:
    """The `target` documents of largest dot product, numbers ascending, and their products.

    scores: int32 [n], is filled with the codes' products, the lowest where there is no vector.
    """
    coded, code, margin = codes
    rows, query = vectors
    if len(coded):
        scan_codes(coded, code, scores)
        lowest = np.int32(-(2**31))
        for doc in range(len(present)):
            if not present[doc]:
                scores[doc] = lowest
        for doc in barred:
            scores[doc] = lowest
        edge = float(lowest + 1)
        if keep < len(scores):
            edge = max(kth_largest(scores, keep) - margin, edge)
        among = np.flatnonzero(scores >= edge)
    else:
        allowed = present.copy() if len(present) else np.ones(len(rows), np.bool_)
        for doc in barred:
            allowed[doc] = False
        among = np.flatnonzero(allowed)
    products = np.empty(len(among))
    row_dots(rows, among, query, products)
    if len(among) <= target:
        return among, products
    best = _first_best(products, kth_largest(products, target), target)
    return among[best], products[best]


@compiled
def unite(
    texts: Docs, near: Docs, products: Doubles, vectors: tuple[Floats, Floats]
) -> tuple[Docs, Doubles]:
    """Return the numbers in either list (both ascending), and the dot product of each.

    products: of `near`. vectors: float32 [n, dimension] and the query's.
    """
    rows, query = vectors
    found = np.empty(len(texts) + len(near), np.int64)
    dots = np.zeros(len(found))
    others = np.empty(len(texts), np.int64)
    places = np.empty(len(texts), np.int64)
    t, n, filled, left = 0, 0, 0, 0
    while t < len(texts) or n < len(near):
        if n < len(near) and (t == len(texts) or near[n] <= texts[t]):
            if t < len(texts) and texts[t] == near[n]:
                t += 1
            found[filled] = near[n]
            dots[filled] = products[n]
            n += 1
        else:
            found[filled] = texts[t]
            others[left] = texts[t]
            places[left] = filled
            left += 1
            t += 1
        filled += 1
    if len(rows):
        more = np.empty(left)
        row_dots(rows, others[:left], query, more)
        for each in range(left):
            dots[places[each]] = more[each]
    return found[:filled], dots[:filled]
