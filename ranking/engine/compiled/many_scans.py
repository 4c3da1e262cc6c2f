"""What reads a whole segment, for many queries at once: tile by tile, each of them read once.

A tile is scored for one query after another while what scores it is in the cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.code_kernels import MARGIN
from ranking.engine.compiled.many_layout import Task, mask_of
from ranking.engine.compiled.near_kernels import Code
from ranking.engine.compiled.register_kernels import QUERIES, pack, products_of
from ranking.engine.compiled.tile_kernels import LOWEST, TILE, WORD, bar, keep_tile, keeper, settled
from ranking.engine.compiled.word_kernels import Pursuit, WordSearch, pursued

__all__ = ["best_codes", "pursue_all"]

Docs = NDArray[np.int64]


@compiled
def best_codes(task: Task) -> list[Docs]:
    """For each query the documents whose code is good enough to compare, ascending."""
    near, asked = task.segment.near, task.asked
    size = len(task.segment.about.has_caption) if near.target > 0 else 0
    kept = keeper(asked.scales[:, MARGIN], max(near.target, 1))
    packed, scores = _room(near.code), np.empty((QUERIES, TILE), np.int32)
    for begin in range(0, size, TILE):
        blocks = near.code.documents[begin // WORD : (begin + TILE) // WORD]
        pack(blocks, packed)
        for q in range(len(asked.scales)):
            if q % QUERIES == 0:
                products_of(packed[: len(blocks)], asked.cells[q : q + QUERIES], scores)
            tile = scores[q % QUERIES, : len(blocks) * WORD]
            tile[size - begin :] = LOWEST
            bar(tile, begin, mask_of(task.masks, task.masks.away[q]))
            keep_tile(kept, q, tile, begin)
    return settled(kept)


@compiled
def pursue_all(task: Task, searches: list[WordSearch], pursuits: list[Pursuit]) -> None:
    """Go on with each query's search by words to the end of the segment."""
    code, size = task.segment.near.code, len(task.segment.words.norms)
    packed, scores = _room(code), np.empty((QUERIES, TILE), np.int32)
    for begin in range(0, size, TILE):
        blocks, end = (
            code.documents[begin // WORD : (begin + TILE) // WORD],
            min(begin + TILE, size),
        )
        pack(blocks, packed)
        for q in range(len(searches)):
            if q % QUERIES == 0:
                products_of(packed[: len(blocks)], task.asked.cells[q : q + QUERIES], scores)
            products = scores[q % QUERIES, : len(blocks) * WORD]
            pursuits[q] = pursued(searches[q], pursuits[q], products, begin, end)


@compiled
def _room(code: Code) -> NDArray[np.uint8]:
    """Room for a tile's codes."""
    return np.empty((TILE // WORD, code.documents.shape[1] // 4, 4 * WORD), np.uint8)
