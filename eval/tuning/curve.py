"""MRR@10 by blend weight, for the report only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.collection.clusters import Clusters
from eval.measure.bootstrap import FEWER, bootstrap
from eval.measure.results import Estimate, as_estimates
from eval.protocols.tasks import Task, topic_clusters
from eval.search.answer import PoolSearcher
from eval.tuning.candidates import Candidates, collect_candidates
from ranking.expressions.expression import Expression, parse
from ranking.profiles.shipped import Profile

__all__ = [
    "ALPHAS",
    "CORNERS",
    "WeightCurve",
    "column_estimates",
    "expression_of",
    "sampled",
    "weight_curve",
]

Values = NDArray[np.float64]

ALPHAS = tuple(np.linspace(0, 1, 21).round(2).tolist())
# Candidates are searched for with these, so that both single rankings have theirs among them.
CORNERS = ({"alpha": 0.02}, {"alpha": 0.5}, {"alpha": 0.98})
MOST_QUERIES = 1_000


@dataclass(frozen=True)
class WeightCurve:
    """MRR@10 of a profile over its alpha, on one task; alpha 0 is lexical, 1 is vector ranking.

    default: the alpha that the profile has. queries: how many; beyond 1,000 a seeded sample.
    """

    protocol: str
    profile: str
    default: float
    estimates: dict[float, Estimate]
    queries: int


def weight_curve(
    searcher: PoolSearcher, task: Task, profile: Profile, seed: int = 0
) -> WeightCurve | None:
    """The curve; None for a profile without alpha or a task that it cannot answer."""
    if "alpha" not in profile.inputs or searcher.applies(profile.name, task) or task.no_lexical:
        return None
    shown = sampled(task, seed)
    found = collect_candidates(searcher, shown, profile.name, CORNERS)
    expression = expression_of(profile)
    tried = _over_alpha(found, expression, profile)
    clusters = topic_clusters(shown.topics, searcher.pool)
    estimates = column_estimates(tried.T, clusters, seed)
    return WeightCurve(
        protocol=task.protocol,
        profile=profile.name,
        default=profile.inputs["alpha"],
        estimates=dict(zip(ALPHAS, estimates, strict=True)),
        queries=len(shown.topics),
    )


def expression_of(profile: Profile) -> Expression:
    """The first phase of a resolved profile, its functions written in."""
    return parse(profile.first_phase, profile.functions)


def column_estimates(
    table: Values, clusters: Clusters, seed: int, resamples: int = FEWER
) -> Sequence[Estimate]:
    """One a column of values [queries, columns]."""
    found = bootstrap(table, clusters, resamples=resamples, seed=seed)
    return as_estimates(table, clusters, found)


def _over_alpha(found: Candidates, expression: Expression, profile: Profile) -> Values:
    """RR@10 of each query at each alpha, float64 [alphas, queries]."""
    return np.stack(
        [
            found.reciprocal_ranks(found.scores(expression, {**profile.inputs, "alpha": alpha}))
            for alpha in ALPHAS
        ]
    )


def sampled(task: Task, seed: int) -> Task:
    """At most 1,000 of the task's queries, chosen by the seed."""
    if len(task.topics) <= MOST_QUERIES:
        return task
    rows = np.sort(np.random.default_rng(seed).permutation(len(task.topics))[:MOST_QUERIES])
    return task.take(rows)
