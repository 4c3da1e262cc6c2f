"""The best documents for many queries at once, tile by tile, so that each is read once for all.

Only documents above a query's edge are kept, and the edge rises with what was kept. The edges are
found by bisection: counting what is above a number takes registers a moment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.register_kernels import bits_above, lowest_bit, placed
from ranking.engine.compiled.term_kernels import Words, popcount

__all__ = ["LOWEST", "TILE", "WORD", "Keeper", "bar", "keep_tile", "keeper", "settled"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Scores = NDArray[np.int32]

TILE = 32768
WORD = 64
LOWEST = -(2**31)
# No product of codes, of up to 4,000 cells within -63..63, is beyond it.
MOST = 2**24
# An edge is guessed from one score in so many.
SAMPLED = 16
# Who is kept is looked through again when they are that many times those wanted.
PATIENCE = 3


class Keeper(NamedTuple):
    """What is kept for each query: documents, ascending, and their scores; `filled` of them.

    places: room for those of a tile. edges: int64 [q], only what is above is kept. margins: how far
    below the `wanted`-th best score a document may be and still count.
    """

    docs: list[Docs]
    scores: list[Scores]
    filled: Docs
    places: Docs
    edges: Docs
    margins: Doubles
    wanted: int


@compiled
def keeper(margins: Doubles, wanted: int) -> Keeper:
    """Nothing kept yet, for as many queries as there are margins."""
    queries, room = len(margins), (PATIENCE + 1) * wanted // WORD * WORD + WORD
    return Keeper(
        [np.empty(room, np.int64) for _ in range(queries)],
        [np.empty(room, np.int32) for _ in range(queries)],
        np.zeros(queries, np.int64),
        np.empty(TILE, np.int64),
        np.full(queries, LOWEST, np.int64),
        margins,
        wanted,
    )


@compiled
def keep_tile(kept: Keeper, query: int, tile: Scores, begin: int) -> None:
    """Keep the best of a tile's scores (a multiple of 64); `begin`: its first document."""
    if kept.filled[query] < kept.wanted:
        _raise_edge(kept, query, _edge_within(tile, kept.wanted))
    elif kept.filled[query] > PATIENCE * kept.wanted:
        _prune(kept, query)
    least, count = np.int32(kept.edges[query]), 0
    for start in range(0, len(tile), WORD):
        count = placed(bits_above(tile, start, least), start, kept.places, count)
    filled = kept.filled[query]
    while filled + count > len(kept.docs[query]):
        kept.docs[query] = np.concatenate((kept.docs[query], np.empty_like(kept.docs[query])))
        kept.scores[query] = np.concatenate((kept.scores[query], np.empty_like(kept.scores[query])))
    docs, scores = kept.docs[query], kept.scores[query]
    for place in kept.places[:count]:
        docs[filled], scores[filled] = begin + place, tile[place]
        filled += 1
    kept.filled[query] = filled


@compiled
def settled(kept: Keeper) -> list[Docs]:
    """For each query the documents of the `wanted` best scores, and those within the margin."""
    found = []
    for query in range(len(kept.filled)):
        _prune(kept, query)
        found.append(kept.docs[query][: kept.filled[query]])
    return found


@compiled
def bar(tile: Scores, begin: int, marks: Words) -> None:
    """Give marked documents the lowest score; there may be no marks at all."""
    if len(marks) == 0:
        return
    for start in range(0, len(tile), WORD):
        bits = marks[(begin + start) // WORD]
        while bits != np.uint64(0):
            tile[start + lowest_bit(bits)] = LOWEST
            bits &= bits - np.uint64(1)


@compiled
def _edge_within(scores: Scores, wanted: int) -> int:
    """An edge that at least `wanted` scores are above, if so many are, but few more."""
    some = scores[::SAMPLED]
    sample = np.full((len(some) + WORD - 1) // WORD * WORD, np.int32(LOWEST))
    sample[: len(some)] = some
    place = wanted // SAMPLED + 2
    while place < len(some):
        edge = _nth_largest(sample, place) - 1
        if _count_above(scores, edge) >= wanted:
            return edge
        place += max(place // 4, 1)
    return LOWEST


@compiled
def _raise_edge(kept: Keeper, query: int, edge: int) -> None:
    """Raise the edge to this one less the margin."""
    lowered = max(int(np.floor(edge - kept.margins[query])), LOWEST)
    kept.edges[query] = max(kept.edges[query], lowered)


@compiled
def _prune(kept: Keeper, query: int) -> None:
    """Drop what is no longer wanted, and raise the edge."""
    filled = kept.filled[query]
    if filled <= kept.wanted:
        return
    docs, scores = kept.docs[query], kept.scores[query]
    padded = (filled + WORD - 1) // WORD * WORD
    scores[filled:padded] = LOWEST
    _raise_edge(kept, query, _nth_largest(scores[:padded], kept.wanted) - 1)
    edge, left = kept.edges[query], 0
    for place in range(filled):
        docs[left], scores[left] = docs[place], scores[place]
        left += scores[place] > edge
    kept.filled[query] = left


@compiled
def _nth_largest(scores: Scores, n: int) -> int:
    """The n-th largest of a multiple of 64 scores; -MOST where there are fewer."""
    low, high = -MOST, MOST
    while low < high:
        middle = (low + high) >> 1
        if _count_above(scores, middle) >= n:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _count_above(scores: Scores, edge: int) -> int:
    """How many of the scores are above the edge."""
    count = 0
    for start in range(0, len(scores), WORD):
        count += popcount(bits_above(scores, start, np.int32(edge)))
    return count
