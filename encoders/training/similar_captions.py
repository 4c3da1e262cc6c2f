"""Batches with groups of similar captions as hard negatives.

In a random batch most negatives differ in everything, and little is learned from "small" against
"large". Putting pairs with near captions into one batch (Yuksekgonul et al. 2023, NegCLIP, take
the nearest by a CLIP's embeddings) makes negatives that differ in a word. Here near means cosine
of IDF-weighted token counts: it needs no model, so an epoch's order still follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tokenizers import Tokenizer

__all__ = ["grouped_order", "near_captions"]

BLOCK = 1024


def near_captions(texts: Sequence[str], words: Tokenizer, count: int) -> NDArray[np.int64]:
    """The `count` nearest other captions of each, best first, int64 [N, min(count, N - 1)]."""
    count = min(count, len(texts) - 1)
    rows = [encoding.ids for encoding in words.encode_batch_fast(list(texts))]
    indices = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in rows])
    starts = np.cumsum([0, *map(len, rows)])
    shape = (len(rows), words.get_vocab_size())
    counts = sparse.csr_array((np.ones(len(indices), np.float32), indices, starts), shape=shape)
    counts.sum_duplicates()
    frequency = np.bincount(counts.indices, minlength=shape[1])
    inverse = np.log((1 + len(rows)) / (1 + frequency)).astype(np.float32)
    weighted = counts.multiply(inverse[None]).tocsr()
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    unit = weighted.multiply(1 / np.maximum(norms, 1e-12)[:, None]).tocsr()
    near = np.empty((len(rows), count), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        scores = (unit[start : start + BLOCK] @ unit.T).toarray()
        own = np.arange(len(scores))
        scores[own, start + own] = -np.inf
        found = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best = np.argsort(-np.take_along_axis(scores, found, 1), axis=1, kind="stable")
        near[start : start + BLOCK] = np.take_along_axis(found, best, 1)
    return near


def grouped_order(
    order: NDArray[np.int64], near: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`order` rearranged so that groups of `size` near captions stand together.

    Each row gathers those of its near captions that no group has yet; groups are shuffled.
    """
    free = np.zeros(len(near), dtype=np.bool_)
    free[order] = True
    groups = []
    for row in order:
        if not free[row]:
            continue
        candidates = near[row][free[near[row]]]
        group = np.append(row, rng.permutation(candidates)[: size - 1])
        free[group] = False
        groups.append(group)
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])
