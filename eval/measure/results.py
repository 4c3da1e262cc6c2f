"""What an evaluation found: values per query, means with intervals, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eval.leakage.leakage import Leakage
from eval.measure.chance import chance
from eval.measure.metrics import HEADLINE, Metric, measure
from eval.measure.significance import (
    Comparison,
    bootstrap_means,
    cluster_numbers,
    compare_profiles,
    interval,
)
from eval.protocols.tasks import Task
from eval.search.runs import Run

__all__ = ["FEWER", "Estimate", "TaskResult", "as_estimate", "estimate", "judge", "topic_clusters"]

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
    independent: how many groups (cases, articles, images of none) the queries come from.
    """

    task: Task
    runs: Mapping[str, Run]
    values: Mapping[str, Mapping[str, Values]]
    estimates: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]
    comparisons: Sequence[Comparison]
    leakage: Leakage
    without_leaked: Mapping[str, Mapping[str, Estimate]]
    independent: int
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
    names, table = _columns(values)
    means = bootstrap_means(table, clusters=clusters, seed=seed) if names else table
    compared = [column for column, (_, metric) in enumerate(names) if metric == HEADLINE]
    partly_leaked = 0 < leakage.leaked < len(task.topics)
    return TaskResult(
        task=task,
        runs=runs,
        values=values,
        estimates=_estimates(names, table, means),
        chance=chance(task.qrels, task.searched, metrics),
        comparisons=compare_profiles(
            {names[column][0]: table[:, column] for column in compared},
            HEADLINE,
            clusters=clusters,
            seed=seed,
            means=means[:, compared],
        ),
        leakage=leakage,
        without_leaked=estimate(values, clusters, seed, leakage.clean) if partly_leaked else {},
        independent=len(np.unique(clusters)),
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
    rows: NDArray[np.intp],
) -> dict[str, dict[str, Estimate]]:
    """Means and intervals over the queries at `rows`: a side figure, resampled fewer times."""
    if not values:
        return {}
    names, table = _columns(values)
    table, clusters = table[rows], np.unique(clusters[rows], return_inverse=True)[1]
    means = bootstrap_means(table, clusters=clusters, resamples=FEWER, seed=seed)
    return _estimates(names, table, means)


def _columns(values: Mapping[str, Mapping[str, Values]]) -> tuple[list[tuple[str, str]], Values]:
    """Profile and metric of each column, and the columns, float64 [queries, columns]."""
    names = [(profile, metric) for profile, found in values.items() for metric in found]
    columns = [values[profile][metric] for profile, metric in names]
    return names, np.column_stack(columns) if columns else np.empty((0, 0))


def _estimates(
    names: Sequence[tuple[str, str]], table: Values, means: Values
) -> dict[str, dict[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {profile: {} for profile, _ in names}
    low, high = interval(means) if names else (table, table)
    for column, (profile, metric) in enumerate(names):
        found[profile][metric] = as_estimate(table[:, column], low[column], high[column])
    return found


def as_estimate(values: Values, low: float, high: float) -> Estimate:
    """The mean of a column; its interval contains it, whatever the last digits say."""
    mean = float(values.mean())
    return Estimate(mean, min(float(low), mean), max(float(high), mean), len(values))
