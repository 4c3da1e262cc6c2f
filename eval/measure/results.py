"""Results of an evaluation: values per query, means with intervals, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from eval.collection.clusters import Clusters
from eval.collection.runs import Run
from eval.leakage.leakage import Leakage, is_leaky
from eval.measure import chance as random_order
from eval.measure.bootstrap import ENOUGH, FEWER, RESAMPLES, Bootstrap, bootstrap, cluster_sums
from eval.measure.metrics import Metric, measure
from eval.measure.significance import Comparison, compare_profiles, families
from eval.protocols.tasks import Task

__all__ = [
    "SMALLEST_CLEAN",
    "Estimate",
    "Figures",
    "TaskResult",
    "as_estimates",
    "estimate",
    "judge",
    "judge_values",
]

Values = NDArray[np.float64]

# One cluster that carries more of a figure than this is named.
HEAVY = 0.1
# Fewer queries than this, once the leaked ones are left out, are no figure to open a report with.
SMALLEST_CLEAN = 20


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % interval, and the mean over clusters of their means."""

    value: float
    low: float
    high: float
    queries: int
    macro: float = float("nan")


@dataclass(frozen=True)
class Figures:
    """Everything inferred from one set of queries of one task.

    estimates: profile -> metric -> Estimate. comparisons: on the task's metric. heaviest: the
    declared ranking and the cluster that carries most of its figure, and its share of it.
    """

    estimates: Mapping[str, Mapping[str, Estimate]]
    comparisons: Sequence[Comparison]
    clusters: Clusters
    heaviest: tuple[str, str, float] = ("", "", 0.0)

    @property
    def queries(self) -> int:
        """How many queries the figures are of."""
        return len(self.clusters.numbers)

    @property
    def few(self) -> bool:
        """Whether there are too few effective clusters for intervals to be relied on."""
        return self.clusters.effective < ENOUGH

    @property
    def heavy(self) -> bool:
        """Whether one cluster carries more than a tenth of a figure."""
        return self.heaviest[2] > HEAVY


@dataclass(frozen=True)
class TaskResult:
    """One task, answered by several profiles.

    metric: what the task is judged by. values: profile -> metric -> float64 [queries].
    everything: the figures over all queries; clean: over those that are not leaked, None where
    nothing is leaked or all is. inapplicable: profile -> why it has no figure. chance: metric ->
    value of a random ranking.
    """

    task: Task
    metric: str
    runs: Mapping[str, Run]
    values: Mapping[str, Mapping[str, Values]]
    everything: Figures
    clean: Figures | None
    chance: Mapping[str, float]
    leakage: Leakage
    inapplicable: Mapping[str, str] = field(default_factory=dict)

    @property
    def estimates(self) -> Mapping[str, Mapping[str, Estimate]]:
        """Over all queries."""
        return self.everything.estimates

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """Over all queries."""
        return self.everything.comparisons

    @property
    def clusters(self) -> Clusters:
        """Of all queries."""
        return self.everything.clusters

    @property
    def shown(self) -> Figures:
        """The figures to conclude from: without the leaked queries, where enough are left."""
        if self.clean is not None and self.clean.queries >= SMALLEST_CLEAN:
            return self.clean
        return self.everything

    @property
    def sound(self) -> bool:
        """Whether `shown` is free of leaked queries."""
        return not self.leakage.leaked or self.shown is self.clean

    @property
    def leaky(self) -> bool:
        """Whether leaked queries change a figure, or are more than 1 % of all."""
        if not self.leakage.leaked:
            return False
        if self.clean is None or is_leaky(self.leakage.leaked, len(self.task.topics)):
            return True
        pairs = (
            (found[self.metric], self.clean.estimates[profile][self.metric])
            for profile, found in self.estimates.items()
        )
        return any(not whole.low <= clean.value <= whole.high for whole, clean in pairs)


def judge(
    task: Task,
    runs: Mapping[str, Run],
    metrics: Sequence[Metric],
    *,
    leakage: Leakage,
    clusters: Clusters,
    metric: str = "",
    inapplicable: Mapping[str, str] | None = None,
    seed: int = 0,
) -> TaskResult:
    """Measure each profile's run. metric: what to judge by, the task's own if "" is given."""
    values = {profile: measure(run, task.qrels, metrics) for profile, run in runs.items()}
    found = judge_values(
        task,
        values,
        metric or task.metric,
        leakage=leakage,
        clusters=clusters,
        chance=random_order.chance(task.qrels, task.searched, metrics),
        seed=seed,
    )
    return replace(found, runs=runs, inapplicable=inapplicable or {})


def judge_values(
    task: Task,
    values: Mapping[str, Mapping[str, Values]],
    metric: str,
    *,
    leakage: Leakage,
    clusters: Clusters,
    chance: Mapping[str, float],
    seed: int = 0,
) -> TaskResult:
    """The same of values that were measured already: profile -> metric -> float64 [queries]."""
    whole = _figures(values, metric, clusters, seed)
    clean = None
    if 0 < leakage.leaked < len(task.topics):
        rows = leakage.clean
        kept = {p: {m: v[rows] for m, v in found.items()} for p, found in values.items()}
        clean = _figures(kept, metric, clusters.take(rows), seed)
    return TaskResult(
        task=task,
        metric=metric,
        runs={},
        values=values,
        everything=whole,
        clean=clean,
        chance=chance,
        leakage=leakage,
    )


def estimate(
    values: Mapping[str, Mapping[str, Values]],
    clusters: Clusters,
    seed: int,
    rows: NDArray[np.intp],
) -> dict[str, dict[str, Estimate]]:
    """Means and intervals over the queries at `rows`: a side figure, resampled fewer times."""
    if not values:
        return {}
    names, table = _columns(values)
    clusters = clusters.take(rows)
    found = bootstrap(table[rows], clusters, resamples=FEWER, seed=seed)
    return _named(names, as_estimates(table[rows], clusters, found))


def as_estimates(table: Values, clusters: Clusters, found: Bootstrap) -> list[Estimate]:
    """One a column of values [queries, columns]; an interval contains its mean."""
    low, high = found.interval()
    macro = (
        cluster_sums(table, clusters.numbers, len(clusters.names)) / clusters.sizes[:, None]
    ).mean(axis=0)
    return [
        Estimate(mean, min(a, mean), max(b, mean), len(table), m)
        for mean, a, b, m in zip(
            table.mean(axis=0).tolist(), low.tolist(), high.tolist(), macro.tolist(), strict=True
        )
    ]


def _figures(
    values: Mapping[str, Mapping[str, Values]],
    metric: str,
    clusters: Clusters,
    seed: int,
) -> Figures:
    """Estimates and comparisons, from one set of resamples."""
    if not values:
        return Figures({}, (), clusters)
    names, table = _columns(values)
    judged = {profile: found[metric] for profile, found in values.items()}
    family = families(list(values))
    pairs = [pair for found in family.values() for pair in found]
    differences = [judged[first] - judged[second] for first, second in pairs]
    every = np.column_stack([table, *differences]) if pairs else table
    found = bootstrap(every, clusters, resamples=RESAMPLES, seed=seed)
    comparisons = []
    start = len(names)
    for name, some in family.items():
        part = _part(found, slice(start, start + len(some)))
        comparisons += compare_profiles(
            judged, metric, clusters, pairs=some, family=name, seed=seed, resampled=part
        )
        start += len(some)
    estimates = as_estimates(table, clusters, _part(found, slice(0, len(names))))
    declared = {name for pair in family["declared"] for name in pair} or set(values)
    return Figures(
        estimates=_named(names, estimates),
        comparisons=comparisons,
        clusters=clusters,
        heaviest=_heaviest({name: judged[name] for name in sorted(declared)}, clusters),
    )


def _part(found: Bootstrap, columns: slice) -> Bootstrap:
    return Bootstrap(
        found.means[columns],
        found.errors[columns],
        found.ratios[:, columns],
        found.crossed[columns],
        found.clusters,
        found.effective,
    )


def _heaviest(values: Mapping[str, Values], clusters: Clusters) -> tuple[str, str, float]:
    """The ranking and the cluster with the largest share of that ranking's sum."""
    table = np.column_stack(list(values.values()))
    sums = cluster_sums(table, clusters.numbers, len(clusters.names))
    totals = sums.sum(axis=0)
    shares = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    cluster, column = np.unravel_index(int(shares.argmax()), shares.shape)
    return list(values)[column], clusters.names[cluster], float(shares[cluster, column])


def _columns(values: Mapping[str, Mapping[str, Values]]) -> tuple[list[tuple[str, str]], Values]:
    """Profile and metric of each column, and the columns, float64 [queries, columns]."""
    names = [(profile, metric) for profile, found in values.items() for metric in found]
    columns = [values[profile][metric] for profile, metric in names]
    return names, np.column_stack(columns) if columns else np.empty((0, 0))


def _named(
    names: Sequence[tuple[str, str]], estimates: Sequence[Estimate]
) -> dict[str, dict[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {profile: {} for profile, _ in names}
    for (profile, metric), each in zip(names, estimates, strict=True):
        found[profile][metric] = each
    return found
