"""The best documents for many queries at once, tile by tile, so that each is read once for all.

A tile is scored for one query after another while what scores it is in the cache. Only documents
above the query's edge are kept, and the edge rises with what was kept. Scores are int32, or floats
not below 0 seen as such: those sort alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import compiled, kth_largest
from ranking.register_kernels import bits_above
from ranking.term_kernels import Words, popcount

__all__ = [
    "LOWEST",
    "TILE",
    "WORD",
    "Keeper",
    "above",
    "bar",
    "keep_tile",
    "keeper",
    "lowest_bit",
    "settled",
]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Scores = NDArray[np.int32]

TILE = 8192
WORD = 64
LOWEST = -(2**31)
SAMPLED = 16
# Who is kept is looked through again when they are that many times those wanted.
PATIENCE = 3


class Keeper(NamedTuple):
    """What is kept for each query: documents, ascending, and their scores; `filled` of them.

    edges: int64 [q], only what is above is kept. margins: how far below the `wanted`-th best score
    a document may be and still count. floats: whether scores are floats seen as whole numbers.
    """

    docs: list[Docs]
    scores: list[Scores]
    filled: Docs
    edges: Docs
    margins: Doubles
    wanted: int
    floats: bool


@compiled
def keeper(margins: Doubles, wanted: int, edge: int, floats: bool) -> Keeper:
    """Nothing kept yet, for as many queries as there are margins."""
    queries, room = len(margins), (PATIENCE + 1) * wanted + TILE
    return Keeper(
        [np.empty(room, np.int64) for _ in range(queries)],
        [np.empty(room, np.int32) for _ in range(queries)],
        np.zeros(queries, np.int64),
        np.full(queries, edge, np.int64),
        margins,
        wanted,
        floats,
    )


@compiled
def keep_tile(kept: Keeper, query: int, tile: Scores, begin: int) -> None:
    """Keep the best of a tile's scores (a multiple of 64); `begin`: its first document."""
    if kept.filled[query] < kept.wanted:
        edge = _edge_within(tile, kept.wanted, kept.edges[query])
        if edge > kept.edges[query]:
            kept.edges[query] = max(kept.edges[query], _lowered(kept, query, edge))
    elif kept.filled[query] > PATIENCE * kept.wanted:
        _prune(kept, query)
    while kept.filled[query] + len(tile) > len(kept.docs[query]):
        kept.docs[query] = np.concatenate((kept.docs[query], np.empty_like(kept.docs[query])))
        kept.scores[query] = np.concatenate((kept.scores[query], np.empty_like(kept.scores[query])))
    docs, scores, filled = kept.docs[query], kept.scores[query], kept.filled[query]
    least = np.int32(kept.edges[query])
    for start in range(0, len(tile), WORD):
        bits = bits_above(tile, start, least)
        while bits != np.uint64(0):
            place = start + lowest_bit(bits)
            docs[filled], scores[filled] = begin + place, tile[place]
            filled += 1
            bits &= bits - np.uint64(1)
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
def above(scores: Scores, edge: int) -> int:
    """How many of the scores, a multiple of 64, are above the edge."""
    count = 0
    for start in range(0, len(scores), WORD):
        count += popcount(bits_above(scores, start, np.int32(edge)))
    return count


@compiled
def lowest_bit(bits: np.uint64) -> int:
    """The place of the lowest bit that is set."""
    return popcount(~bits & (bits - np.uint64(1)))


@compiled
def bar(tile: Scores, begin: int, marks: Words, value: int) -> None:
    """Give marked documents this score; there may be no marks at all."""
    if len(marks) == 0:
        return
    for start in range(0, len(tile), WORD):
        bits = marks[(begin + start) // WORD]
        while bits != np.uint64(0):
            tile[start + lowest_bit(bits)] = value
            bits &= bits - np.uint64(1)


@compiled
def _edge_within(tile: Scores, count: int, edge: int) -> int:
    """An edge, not below the one given, that at least `count` scores are above, but few more.

    Guessed from a sample, then counted.
    """
    sample = tile[::SAMPLED].copy()
    place = count // SAMPLED + 2
    while place <= len(sample):
        guess = int(kth_largest(sample, place)) - 1
        if guess <= edge:
            return edge
        if above(tile, guess) >= count:
            return guess
        place += max(place // 4, 1)
    return edge


@compiled
def _prune(kept: Keeper, query: int) -> None:
    """Drop what is no longer wanted, and raise the edge."""
    filled = kept.filled[query]
    if filled <= kept.wanted:
        return
    docs, scores = kept.docs[query], kept.scores[query]
    last = int(kth_largest(scores[:filled], kept.wanted))
    edge = max(kept.edges[query], _lowered(kept, query, last))
    left = 0
    for place in range(filled):
        docs[left], scores[left] = docs[place], scores[place]
        left += scores[place] > edge
    kept.filled[query], kept.edges[query] = left, edge


@compiled
def _lowered(kept: Keeper, query: int, score: int) -> int:
    """What a score must be above to be within the margin of this one."""
    margin = kept.margins[query]
    if not kept.floats:
        return max(int(np.floor(score - margin)) - 1, LOWEST)
    number = np.full(1, score, np.int32).view(np.float32)
    number[0] = max(number[0] - margin, 0.0)
    return max(int(number.view(np.int32)[0]) - 1, 0)
