"""Training seeds as a random factor: mean, spread, share of the variance.

One encoder's figure holds the luck of its seed. Of several encoders there is a mean, the spread
over seeds, and the share of a figure's variance that the seeds make: the variance of the means over
seeds, against that of the mean over clusters (Bouthillier et al., MLSys 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.collection.runs import EvaluationError
from eval.measure.bootstrap import FEWER, bootstrap
from eval.measure.results import SMALLEST_CLEAN, TaskResult

__all__ = ["SeedFigure", "over_seeds"]


@dataclass(frozen=True)
class SeedFigure:
    """One protocol and profile over several encoders.

    mean: over the seeds; spread: their standard deviation; lowest, highest: of single seeds. low,
    high: the 95 % interval of the mean over queries, seeds taken as they are. share: of the
    variance of one seed's figure, what the seed makes.
    """

    protocol: str
    profile: str
    metric: str
    seeds: int
    queries: int
    mean: float
    spread: float
    lowest: float
    highest: float
    low: float
    high: float
    share: float


def over_seeds(evaluations: Sequence[Sequence[TaskResult]], seed: int = 0) -> list[SeedFigure]:
    """A figure for each protocol and profile that all of the evaluations have.

    evaluations: the results of each encoder, over one corpus. Leaked queries of any of them are
    left out of all, where at least 20 others are left. Raises EvaluationError where they asked
    other queries.
    """
    by_protocol: list[Mapping[str, TaskResult]] = [
        {result.task.protocol: result for result in results} for results in evaluations
    ]
    found = []
    for protocol, first in by_protocol[0].items():
        same = [results[protocol] for results in by_protocol if protocol in results]
        if len(same) < len(by_protocol):
            continue
        asked = {tuple(topic.id for topic in result.task.topics) for result in same}
        if len(asked) > 1:
            raise EvaluationError(f"The indexes have different queries for {protocol}.")
        clean = [set(result.leakage.clean.tolist()) for result in same]
        rows = np.array(sorted(set.intersection(*clean)), np.intp)
        if len(rows) < SMALLEST_CLEAN:
            rows = np.arange(len(first.task.topics))
        for profile in first.values:
            if all(profile in result.values for result in same):
                values = np.stack([r.values[profile][first.metric][rows] for r in same])
                found.append(_figure(values, first, profile, rows, seed))
    return found


def _figure(
    values: np.ndarray, result: TaskResult, profile: str, rows: np.ndarray, seed: int
) -> SeedFigure:
    """values: float64 [seeds, queries]."""
    means = values.mean(axis=1)
    clusters = result.clusters.take(rows)
    of_mean = bootstrap(values.mean(axis=0)[:, None], clusters, resamples=FEWER, seed=seed)
    low, high = of_mean.interval()
    single = bootstrap(values.T, clusters, resamples=1, seed=seed)
    by_seed = float(means.var(ddof=1)) if np.ptp(means) > 0 else 0.0
    by_query = float((single.errors**2).mean())
    return SeedFigure(
        protocol=result.task.protocol,
        profile=profile,
        metric=result.metric,
        seeds=len(means),
        queries=len(rows),
        mean=float(means.mean()),
        spread=by_seed**0.5,
        lowest=float(means.min()),
        highest=float(means.max()),
        low=float(low[0]),
        high=float(high[0]),
        share=by_seed / (by_seed + by_query) if by_seed + by_query else 0.0,
    )
