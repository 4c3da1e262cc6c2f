"""Runs and relevance judgements as arrays.

Documents are numbered by their place in `documents`, which a run and its judgements share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoders.base.errors import UserError

__all__ = ["EvaluationError", "Qrels", "Run", "gains", "strictly_decreasing"]

NOTHING = -1


class EvaluationError(UserError):
    """What was asked cannot be evaluated, or would give a figure that misleads."""


@dataclass(frozen=True)
class Qrels:
    """Relevance judgements: `grades` is sparse int [queries, documents], 0 not relevant."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    grades: csr_array

    @classmethod
    def from_mapping(
        cls, judged: Mapping[str, Mapping[str, int]], documents: Sequence[str] = ()
    ) -> Qrels:
        """From query -> document -> grade; documents that `documents` lacks are added behind.

        Grades below 0 (TREC's "junk") count as 0.
        """
        place = {name: column for column, name in enumerate(documents)}
        for name in chain.from_iterable(judged.values()):
            place.setdefault(name, len(place))
        return cls.from_columns(
            tuple(judged),
            tuple(place),
            [[place[name] for name in row] for row in judged.values()],
            [[max(grade, 0) for grade in row.values()] for row in judged.values()],
        )

    @classmethod
    def from_columns(
        cls,
        queries: tuple[str, ...],
        documents: tuple[str, ...],
        columns: Sequence[Sequence[int] | NDArray[np.int32]],
        grades: Sequence[Sequence[int] | NDArray[np.int32]] | None = None,
    ) -> Qrels:
        """From each query's relevant documents (their numbers), grade 1 unless `grades` says."""
        bounds = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
        flat = np.fromiter(chain.from_iterable(columns), np.int32, int(bounds[-1]))
        data = (
            np.ones(len(flat), np.int32)
            if grades is None
            else np.fromiter(chain.from_iterable(grades), np.int32, len(flat))
        )
        shape = (len(queries), len(documents))
        return cls(queries, documents, csr_array((data, flat, bounds), shape=shape))

    @cached_property
    def relevant(self) -> NDArray[np.int64]:
        """How many documents are relevant to each query, int [queries]."""
        return np.asarray((self.grades > 0).sum(axis=1), dtype=np.int64)

    def ideal(self, depth: int) -> NDArray[np.int32]:
        """Each query's best grades in descending order, int [queries, depth], 0 behind the last."""
        matrix = self.grades.tocsr()
        sizes = np.diff(matrix.indptr)
        rows = np.repeat(np.arange(len(self.queries)), sizes)
        order = np.lexsort((-matrix.data, rows))
        ranks = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], sizes)
        best = np.zeros((len(self.queries), depth), np.int32)
        kept = ranks < depth
        best[rows[kept], ranks[kept]] = matrix.data[order][kept]
        return best

    def take(self, rows: NDArray[np.intp]) -> Qrels:
        """Only the queries at `rows`."""
        return Qrels(tuple(self.queries[r] for r in rows), self.documents, self.grades[rows])

    def to_mapping(self) -> dict[str, dict[str, int]]:
        """As query -> document -> grade, judged documents only."""
        matrix = self.grades.tocsr()
        judged = {}
        for row, query in enumerate(self.queries):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            names = (self.documents[column] for column in matrix.indices[part])
            judged[query] = dict(zip(names, matrix.data[part].tolist(), strict=True))
        return judged


@dataclass(frozen=True)
class Run:
    """Ranked documents: `ranked` int32 [queries, depth] of document numbers, -1 behind the last.

    `scores` is float64 of the same shape, -inf behind the last.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    ranked: NDArray[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def from_lists(
        cls,
        queries: tuple[str, ...],
        documents: tuple[str, ...],
        ids: Sequence[Sequence[str]],
        scores: Sequence[Sequence[float] | NDArray[np.float64]],
    ) -> Run:
        """From ranked ids and their scores, best first, one list a query, perhaps empty.

        Raises EvaluationError if an id is not among `documents`.
        """
        place = {name: number for number, name in enumerate(documents)}
        shape = (len(queries), max(map(len, ids), default=0))
        ranked = np.full(shape, NOTHING, np.int32)
        values = np.full(shape, -np.inf)
        for row, (names, numbers) in enumerate(zip(ids, scores, strict=True)):
            if not names:
                continue
            try:
                # Half the time of mapping `place.__getitem__`.
                ranked[row, : len(names)] = itemgetter(*names)(place)
            except KeyError as error:
                raise EvaluationError(
                    f"The engine returned document {error.args[0]!r}, which is not in the "
                    "searched pool. Build the index from the corpus that is evaluated."
                ) from None
            values[row, : len(names)] = numbers
        return cls(queries, documents, ranked, values)

    @classmethod
    def from_mapping(
        cls,
        scored: Mapping[str, Mapping[str, float]],
        queries: tuple[str, ...],
        documents: tuple[str, ...],
    ) -> Run:
        """From query -> document -> score; an unanswered query gets an empty list."""
        lists = [
            sorted(scored.get(query, {}).items(), key=lambda item: (-item[1], item[0]))
            for query in queries
        ]
        ids = [[name for name, _ in row] for row in lists]
        return cls.from_lists(queries, documents, ids, [[s for _, s in row] for row in lists])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many documents each query got, int [queries]."""
        return np.asarray((self.ranked != NOTHING).sum(axis=1), dtype=np.int64)

    def names(self, row: int) -> list[str]:
        """The ranked ids of the query at `row`, best first."""
        return [self.documents[number] for number in self.ranked[row] if number != NOTHING]

    def keep(self, marks: NDArray[np.bool_]) -> Run:
        """Only the marked documents, bool [queries, depth], those below them moved up."""
        order = np.argsort(~marks, axis=1, kind="stable")
        kept = np.take_along_axis(marks, order, axis=1)
        ranked = np.where(kept, np.take_along_axis(self.ranked, order, axis=1), NOTHING)
        scores = np.where(kept, np.take_along_axis(self.scores, order, axis=1), -np.inf)
        return Run(self.queries, self.documents, ranked.astype(np.int32), scores)

    def take(self, rows: NDArray[np.intp]) -> Run:
        """Only the queries at `rows`."""
        queries = tuple(self.queries[r] for r in rows)
        return Run(queries, self.documents, self.ranked[rows], self.scores[rows])


def gains(run: Run, qrels: Qrels) -> NDArray[np.int32]:
    """Grades of the ranked documents, int [queries, depth], 0 where nothing was returned."""
    if run.queries != qrels.queries or len(run.documents) != len(qrels.documents):
        raise ValueError("A run and its judgements must have the same queries and documents.")
    matrix = qrels.grades.tocsr()
    found = np.zeros(run.ranked.shape, np.int32)
    # One row of grades as a dense array; the place behind the last is what -1 points to.
    dense = np.zeros(len(qrels.documents) + 1, np.int32)
    for row in range(len(run.queries)):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns = matrix.indices[part]
        dense[columns] = matrix.data[part]
        np.take(dense, run.ranked[row], out=found[row], mode="wrap")
        dense[columns] = 0
    return found


def strictly_decreasing(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores [queries, depth] made strictly decreasing along each row, in the same order.

    In float32, because trec_eval reads no more: tools that break ties each in their own way
    then see none.
    """
    distinct = scores.astype(np.float32)
    for column in range(1, distinct.shape[1]):
        below = np.nextafter(distinct[:, column - 1], np.float32(-np.inf))
        distinct[:, column] = np.minimum(distinct[:, column], below)
    return distinct
