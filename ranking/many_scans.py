"""What reads a whole segment, for many queries at once: codes and postings, tile by tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.feature_kernels import About
from ranking.kernels import compiled, first_best, kth_largest
from ranking.many_demand import Demand
from ranking.many_layout import Task, barred_of, code_of, mask_of, words_of
from ranking.near_kernels import Code
from ranking.part_kernels import add_block
from ranking.register_kernels import bits_above, pack, products_of
from ranking.term_kernels import scores_of
from ranking.tile_kernels import (
    LOWEST,
    TILE,
    WORD,
    above,
    bar,
    keep_tile,
    keeper,
    lowest_bit,
    settled,
)

__all__ = ["best_codes", "best_texts", "meeting"]

Docs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Scores = NDArray[np.int32]
Sums = NDArray[np.float32]


@compiled
def best_codes(task: Task) -> list[Docs]:
    """For each query the documents whose code is good enough to compare, ascending."""
    code, aim, asked = task.segment.code, task.aim, task.asked
    size = len(task.segment.about.has_caption) if aim.target > 0 else 0
    kept = keeper(asked.scales[:, 0], aim.keep, LOWEST, False)
    packed, scores = _room(code), np.empty(TILE, np.int32)
    for begin in range(0, size, TILE):
        blocks = code.documents[begin // WORD : (begin + TILE) // WORD]
        pack(blocks, packed)
        tile = scores[: len(blocks) * WORD]
        for q in range(len(asked.margins)):
            products_of(packed, 0, len(blocks), asked.cells[q], tile)
            tile[size - begin :] = LOWEST
            bar(tile, begin, mask_of(task.masks, task.masks.away[q]), LOWEST)
            keep_tile(kept, q, tile, begin)
    return settled(kept)


@compiled
def best_texts(task: Task) -> tuple[list[Docs], Docs, Doubles]:
    """For each query the `aim.texts` documents of largest BM25, ascending.

    Also how many documents have a word, and the least BM25 of those taken, 0 where they are all.
    """
    queries, count = len(task.asked.margins), task.aim.texts
    size = len(task.segment.words.norms) if count > 0 else 0
    totals, limits = np.zeros(queries, np.int64), np.zeros(queries)
    kept = keeper(task.asked.margins, count, 0, True)
    sums, cursors = np.empty(TILE, np.float32), task.asked.starts.copy()
    for begin in range(0, size, TILE):
        for q in range(queries):
            tile = _rough(task, q, cursors, begin, sums)
            totals[q] += above(tile, 0)
            keep_tile(kept, q, tile, begin)
    found = settled(kept)
    for q in range(queries):
        if count > 0 and len(found[q]) >= count:
            bm25 = scores_of(words_of(task, q), barred_of(task, q), found[q])
            limits[q] = kth_largest(bm25, count)
            found[q] = found[q][first_best(bm25, limits[q], count)]
    return found, totals, limits


@compiled
def meeting(task: Task, demands: list[Demand], known: list[Docs]) -> list[Docs]:
    """For each query the documents, ascending, that are not known and meet its demand."""
    found = [np.empty(0, np.int64) for _ in demands]
    wanting = [q for q in range(len(demands)) if demands[q].floor < np.inf]
    size = len(task.segment.words.norms) if wanting else 0
    places, cursors = np.zeros(len(demands), np.int64), task.asked.starts.copy()
    sums, packed = np.empty(TILE, np.float32), _room(task.segment.code)
    for begin in range(0, size, TILE):
        pack(task.segment.code.documents[begin // WORD : (begin + TILE) // WORD], packed)
        for q in wanting:
            tile = _rough(task, q, cursors, begin, sums)
            code, about = code_of(task, q), task.segment.about
            docs = _meeting(tile, begin, demands[q], packed, code, about)
            if len(docs):
                new = _unknown(docs, known[q], places, q)
                found[q] = np.concatenate((found[q], new))
    return found


@compiled
def _room(code: Code) -> NDArray[np.uint8]:
    """Room for a tile's codes."""
    return np.empty((TILE // WORD, code.documents.shape[1] // 4, 4 * WORD), np.uint8)


@compiled
def _rough(task: Task, q: int, cursors: Docs, begin: int, sums: Sums) -> Scores:
    """What BM25 of a tile's documents is at most for a query: in `sums`, and seen as int32.

    cursors: where the postings of each term of all queries go on. Empty where none has a word.
    """
    words, first = words_of(task, q), task.asked.first
    end = min(begin + TILE, len(words.norms))
    if not add_block(words, cursors[first[q] : first[q + 1]], begin, end, sums):
        return sums.view(np.int32)[:0]
    tile = sums.view(np.int32)[: (end - begin + WORD - 1) // WORD * WORD]
    bar(tile, begin, barred_of(task, q), 0)
    return tile


@compiled
def _meeting(
    tile: Scores,
    begin: int,
    demand: Demand,
    packed: NDArray[np.uint8],
    code: Code,
    about: About,
) -> Docs:
    """The documents of a tile that meet a demand."""
    docs, products, filled = np.empty(len(tile), np.int64), np.empty(TILE, np.int32), 0
    tops, least = tile.view(np.float32), _as_integer(demand.floor)
    for start in range(0, len(tile), WORD):
        bits = bits_above(tile, start, least)
        if bits == np.uint64(0):
            continue
        if code.unit > 0.0:
            products_of(packed, start // WORD, start // WORD + 1, code.cells, products)
        while bits != np.uint64(0):
            place = start + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            docs[filled] = begin + place
            bound = _bound(code, products[place], begin + place)
            filled += _meets(demand, float(tops[place]), bound, about, begin + place)
    return docs[:filled]


@compiled
def _unknown(docs: Docs, known: Docs, places: Docs, q: int) -> Docs:
    """Those of `docs` that are not among the known; places[q]: where to look on in these."""
    kept, place = 0, places[q]
    for doc in docs:
        while place < len(known) and known[place] < doc:
            place += 1
        docs[kept] = doc
        kept += place == len(known) or known[place] != doc
    places[q] = place
    return docs[:kept]


@compiled
def _as_integer(floor: float) -> int:
    """A BM25 a little below the floor, as a float seen as a whole number."""
    number = np.empty(1, np.float32)
    number[0] = max(floor - 1e-6 * abs(floor), 0.0)
    return int(number.view(np.int32)[0])


@compiled
def _meets(demand: Demand, bm25: float, product: float, about: About, doc: int) -> bool:
    """Whether a document that has at most this BM25 and this product may be a hit."""
    if len(about.present) and not about.present[doc]:
        return bm25 > demand.lone
    wanted = demand.products[min(int(bm25 / demand.step), len(demand.products) - 1)]
    return bool(product > wanted or wanted == -np.inf)


@compiled
def _bound(code: Code, product: np.int32, doc: int) -> float:
    """What a document's dot product is at most, by the product of its code; inf for no code."""
    if code.unit == 0.0:
        return np.inf
    bound = float(product) * code.unit + code.differs
    if len(code.lengths):
        bound += float(code.lengths[doc]) * code.outside
    return bound
