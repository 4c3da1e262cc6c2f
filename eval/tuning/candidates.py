"""Candidates with match-features, to re-evaluate rank profiles over arrays.

Profiles are written once, in a language that runs here too; so other weights need no other
search, only their expression evaluated again over what the searches returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.protocols.tasks import Task
from eval.search.answer import PoolSearcher
from ranking.expressions.expression import Expression
from ranking.types import Result

__all__ = ["Candidates", "collect_candidates"]

Values = NDArray[np.float64]

DEPTH = 200
CUTOFF = 10


@dataclass(frozen=True)
class Candidates:
    """All candidates of all queries, one after another.

    owner: int [candidates], the query's number, ascending. documents: int [candidates], rows
    of the pool. relevant: bool [candidates]. features: name -> float64 [candidates].
    """

    queries: int
    owner: NDArray[np.int64]
    documents: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    features: Mapping[str, Values]

    def scores(self, expression: Expression, inputs: Mapping[str, float]) -> Values:
        """The expression's value of each candidate, float64 [candidates]."""
        numbers = {f"query({name})": value for name, value in inputs.items()}
        values = expression.evaluate({**self.features, **numbers})
        return np.broadcast_to(values, self.owner.shape)

    def reciprocal_ranks(self, scores: Values) -> Values:
        """RR@10 of each query, float64 [queries]; ties by ascending document id."""
        best = np.full(self.queries, -np.inf)
        np.maximum.at(best, self.owner[self.relevant], scores[self.relevant])
        bar = best[self.owner]
        first = np.full(self.queries, np.iinfo(np.int64).max)
        top = self.relevant & (scores == bar)
        np.minimum.at(first, self.owner[top], self.documents[top])
        level = (scores == bar) & (self.documents < first[self.owner])
        ahead = np.bincount(self.owner[(scores > bar) | level], minlength=self.queries)
        return np.where(np.isfinite(best) & (ahead < CUTOFF), 1.0 / (ahead + 1), 0.0)

    def of(self, queries: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the candidates of the marked queries."""
        return np.asarray(queries[self.owner])


def collect_candidates(
    searcher: PoolSearcher, task: Task, profile: str, corners: Sequence[Mapping[str, float]]
) -> Candidates:
    """The union of what the profile returns at each of the `corners` (its inputs), 200 deep."""
    answers = [searcher.search(task, profile, DEPTH, inputs) for inputs in corners]
    place = {name: row for row, name in enumerate(searcher.pool.ids)}
    matrix = task.qrels.grades.tocsr()
    owners, documents, relevant = [], [], []
    columns: dict[str, list[Values]] = {}
    for query, results in enumerate(zip(*answers, strict=True)):
        rows, features = _union(results, place)
        judged = matrix.indices[matrix.indptr[query] : matrix.indptr[query + 1]]
        owners.append(np.full(len(rows), query))
        documents.append(rows)
        relevant.append(np.isin(rows, judged))
        for name, values in features.items():
            columns.setdefault(name, []).append(values)
    return Candidates(
        queries=len(task.topics),
        owner=np.concatenate(owners),
        documents=np.concatenate(documents),
        relevant=np.concatenate(relevant),
        features={name: np.concatenate(parts) for name, parts in columns.items()},
    )


def _union(
    results: Sequence[Result], place: Mapping[str, int]
) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """Each document once, by ascending row, with its features."""
    rows = np.array([place[name] for result in results for name in result.ids], np.int64)
    distinct, first = np.unique(rows, return_index=True)
    names = results[0].features
    features = {
        name: np.concatenate([result.features[name] for result in results])[first] for name in names
    }
    return distinct, features
