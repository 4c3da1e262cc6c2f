"""Look up query texts in the indexed texts: equal, normalised or contained.

Containment is of w-shingles (Broder, 1997), runs of three words, each hashed to a number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["CONTAINED_FROM", "SHINGLE", "SHORT", "Numbered", "Shingles"]

Numbers = NDArray[np.int64]

SHINGLE = 3  # words; a text of fewer has none
CONTAINED_FROM = 0.8
# A text of fewer shingles is short: common words make it up ("chest x ray"), so it counts as
# contained only where few texts hold it.
SHORT = 4
_ODD = np.uint64(0x9E3779B97F4A7C15)


class Numbered:
    """Texts by number, equal ones by the same; empty texts equal nothing."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers = {text: number for number, text in enumerate(dict.fromkeys(texts)) if text}
        self.documents = np.array([self._numbers.get(text, -1) for text in texts], np.int64)

    def asked(self, queries: Sequence[str]) -> Numbers:
        """The number of each query's text, int [queries]; -2 where no document has it."""
        return np.array([self._numbers.get(text, -2) for text in queries], np.int64)

    def holders(self, asked: Numbers) -> Numbers:
        """How many documents have each of these numbers, int [queries]."""
        known = self.documents[self.documents >= 0]
        counts = np.bincount(known, minlength=len(self.documents) + 1)
        return np.where(asked >= 0, counts[asked], 0)


class Shingles:
    """The distinct runs of three words of each text."""

    def __init__(self, texts: Sequence[str]) -> None:
        words: defaultdict[str, int] = defaultdict(lambda: len(words))
        self._words = words
        owners, keys = self._hashed(texts)
        self._known, columns = np.unique(keys, return_inverse=True)
        self._texts = _matrix(owners, columns, (len(texts), len(self._known)))

    def containing(self, queries: Sequence[str]) -> tuple[Numbers, Numbers]:
        """Pairs (query, text) where the text has at least .8 of the query's shingles.

        Queries of fewer than four shingles are left to `Phrases` (eval/collection/phrases.py).
        """
        owners, keys = self._hashed(queries)
        sizes = np.bincount(owners, minlength=len(queries))
        columns = np.searchsorted(self._known, keys)
        there = columns < len(self._known)
        there[there] = self._known[columns[there]] == keys[there]
        shape = (len(queries), len(self._known))
        asked = _matrix(owners[there], columns[there], shape)
        shared = (asked @ self._texts.T).tocoo()
        kept = (shared.data >= CONTAINED_FROM * sizes[shared.row]) & (sizes[shared.row] >= SHORT)
        return shared.row[kept].astype(np.int64), shared.col[kept].astype(np.int64)

    def _hashed(self, texts: Sequence[str]) -> tuple[Numbers, NDArray[np.uint64]]:
        """Each text's number and each of its distinct shingles, ascending."""
        split = [list(map(self._words.__getitem__, text.split())) for text in texts]
        lengths = np.array([len(row) for row in split], np.int64)
        flat = np.array([word for row in split for word in row], np.uint64)
        owners = np.repeat(np.arange(len(texts)), lengths)
        last = len(flat) - SHINGLE + 1
        whole = owners[: max(last, 0)] == owners[SHINGLE - 1 :]
        keys = np.zeros(max(last, 0), np.uint64)
        for place in range(SHINGLE):  # wraps around 2^64: a polynomial hash
            keys = keys * _ODD + flat[place : place + len(keys)]
        owners, keys = owners[: len(keys)][whole], keys[whole]
        order = np.lexsort((keys, owners))
        owners, keys = owners[order], keys[order]
        new = np.ones(len(keys), np.bool_)
        new[1:] = (owners[1:] != owners[:-1]) | (keys[1:] != keys[:-1])
        return owners[new], keys[new]


def _matrix(owners: Numbers, columns: Numbers, shape: tuple[int, int]) -> csr_array:
    bounds = np.searchsorted(owners, np.arange(shape[0] + 1))
    return csr_array((np.ones(len(columns), np.int32), columns, bounds), shape=shape)
