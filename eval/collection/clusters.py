"""Clusters of queries that are not independent of each other.

Queries of one patient, case, article or concept belong together, and so do queries of one equal
caption or query text. Both relations count at once: a cluster is a connected component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Clusters", "group_numbers"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """numbers: int [queries], from 0; names: what ties each cluster together, one a cluster."""

    numbers: Numbers
    names: tuple[str, ...]

    @classmethod
    def connect(cls, keys: Sequence[Sequence[str]]) -> Clusters:
        """Queries that share a key are together, and so on from query to query.

        keys: of each query, such as "patient 7" or "case A"; one without a key stands alone.

        >>> Clusters.connect([["a"], ["b"], ["a", "b"], []]).numbers.tolist()
        [0, 0, 0, 1]
        """
        place: dict[str, int] = {}
        owners = np.repeat(np.arange(len(keys)), [len(row) for row in keys])
        columns = [place.setdefault(key, len(place)) for row in keys for key in row]
        count = len(keys) + len(place)
        edges = (np.ones(len(columns), np.int8), (owners, len(keys) + np.array(columns, int)))
        _, labels = connected_components(csr_array(edges, shape=(count, count)), directed=False)
        distinct, numbers = np.unique(labels[: len(keys)], return_inverse=True)
        names = [""] * len(distinct)
        for row, number in enumerate(numbers.tolist()):
            names[number] = names[number] or next(iter(keys[row]), f"query {row}")
        return cls(numbers.astype(np.int64), tuple(names))

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Queries of each cluster, float64 [clusters]."""
        return np.bincount(self.numbers, minlength=len(self.names)).astype(np.float64)

    @property
    def effective(self) -> float:
        """How many equally large clusters tell as much: (sum n)^2 / sum n^2 (Kish, 1965)."""
        sizes = self.sizes
        return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0

    def take(self, rows: NDArray[np.intp]) -> Clusters:
        """Of the queries at `rows` only."""
        kept, numbers = np.unique(self.numbers[rows], return_inverse=True)
        return Clusters(numbers.astype(np.int64), tuple(self.names[n] for n in kept))


def group_numbers(groups: Sequence[str]) -> Numbers:
    """Number groups or texts, int [documents]: equal ones the same, "" each alone."""
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)
