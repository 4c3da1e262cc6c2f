"""What an evaluation found: values per query, means with intervals, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eval.chance import chance
from eval.leakage import Leakage
from eval.metrics import HEADLINE, Metric, measure
from eval.runs import Run
from eval.significance import (
    RESAMPLES,
    Comparison,
    bootstrap_means,
    cluster_numbers,
    compare_profiles,
    interval,
)
from eval.tasks import Task

__all__ = ["FEWER", "Estimate", "TaskResult", "estimate", "judge", "topic_clusters"]

Values = NDArray[np.float64]

# Resamples of side figures: their intervals' ends are then sure to about 3 % of their width.
FEWER = 1_000


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its bootstrap interval."""

    value: float
    low: float
    high: float
    queries: int


@dataclass(frozen=True)
class TaskResult:
    """One task, answered by several profiles.

    values: profile -> metric -> float64 [queries]. estimates: profile -> metric -> Estimate;
    without_leaked: the same over the queries that are not leaked, {} where none is or all are.
    inapplicable: profile -> why it has no figure. chance: metric -> value of a random ranking.
    """

    task: Task
    runs: Mapping[str, Run]
    values: Mapping[str, Mapping[str, Values]]
    estimates: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]
    comparisons: Sequence[Comparison]
    leakage: Leakage
    without_leaked: Mapping[str, Mapping[str, Estimate]]
    inapplicable: Mapping[str, str] = field(default_factory=dict)


def judge(
    task: Task,
    runs: Mapping[str, Run],
    metrics: Sequence[Metric],
    *,
    leakage: Leakage,
    groups: Sequence[str],
    inapplicable: Mapping[str, str],
    seed: int,
) -> TaskResult:
    """Measure each profile's run.

    groups: one a document; queries of one group are resampled together.
    """
    values = {profile: measure(run, task.qrels, metrics) for profile, run in runs.items()}
    clusters = topic_clusters(task, groups)
    headline = {p: found[HEADLINE] for p, found in values.items() if HEADLINE in found}
    partly_leaked = 0 < leakage.leaked < len(task.topics)
    return TaskResult(
        task=task,
        runs=runs,
        values=values,
        estimates=estimate(values, clusters, seed),
        chance=chance(task.qrels, task.searched, metrics),
        comparisons=compare_profiles(headline, HEADLINE, clusters=clusters, seed=seed),
        leakage=leakage,
        without_leaked=estimate(values, clusters, seed, leakage.clean, resamples=FEWER)
        if partly_leaked
        else {},
        inapplicable=inapplicable,
    )


def topic_clusters(task: Task, groups: Sequence[str]) -> NDArray[np.int64]:
    """Numbers of the groups that the topics' documents belong to, int [queries]."""
    return cluster_numbers(
        ["" if topic.row is None else groups[topic.row] for topic in task.topics]
    )


def estimate(
    values: Mapping[str, Mapping[str, Values]],
    clusters: NDArray[np.int64],
    seed: int,
    rows: NDArray[np.intp] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, Estimate]]:
    """Means and intervals, over the queries at `rows` where given."""
    names = [(profile, metric) for profile, found in values.items() for metric in found]
    if not names:
        return {}
    table = np.column_stack([values[profile][metric] for profile, metric in names])
    if rows is not None:
        table = table[rows]
        clusters = np.unique(clusters[rows], return_inverse=True)[1]
    low, high = interval(bootstrap_means(table, clusters=clusters, resamples=resamples, seed=seed))
    means = table.mean(axis=0)
    found: dict[str, dict[str, Estimate]] = {profile: {} for profile in values}
    for column, (profile, metric) in enumerate(names):
        found[profile][metric] = Estimate(
            float(means[column]), float(low[column]), float(high[column]), len(table)
        )
    return found
