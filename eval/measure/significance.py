"""How sure the figures are: bootstrap intervals, paired randomisation, Holm, wins and losses.

Queries of one article or case are not independent of each other. Where `clusters` are given,
whole clusters are resampled and flipped, which gives wider and more honest intervals.
Sources: Efron & Tibshirani (1993), ch. 13; Smucker, Allan & Carterette (CIKM 2007);
Holm (1979); Sakai (2018), ch. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

__all__ = [
    "RESAMPLES",
    "Comparison",
    "bootstrap_means",
    "cluster_numbers",
    "compare_profiles",
    "holm",
    "interval",
    "minimum_detectable_difference",
    "paired_randomisation",
]

Values = NDArray[np.float64]

RESAMPLES = 5_000
LEVEL = 0.95
POWER = 0.8
BLOCK = 32  # resamples held at once: they fit a cache, which halves the time
EXACT_UP_TO = 12


@dataclass(frozen=True)
class Comparison:
    """One profile against another on the same queries.

    difference: mean of first minus second, with its interval. p: paired randomisation, two
    sided; p_holm: corrected over all pairs compared together. detectable: the smallest
    difference found with power .8 at level .05 given this spread and number of queries; None
    where all queries are of one case or article, of which nothing can be told.
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    wins: int
    ties: int
    losses: int
    detectable: float | None


def bootstrap_means(
    values: Values,
    *,
    clusters: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Values:
    """Means of resampled queries, float64 [resamples, columns], of values [queries, columns].

    The columns see the same resamples, so differences between them are paired.
    """
    sums, sizes = _by_cluster(values, clusters)
    rng = np.random.default_rng(seed)
    count = len(sizes)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count) * 1.0
        means[start : start + rows] = (weights @ sums) / (weights @ sizes)[:, None]
    return means


def interval(means: Values, level: float = LEVEL) -> tuple[Values, Values]:
    """Percentile interval of each column of bootstrap means [resamples, columns]."""
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def paired_randomisation(
    differences: Values,
    *,
    clusters: NDArray[np.int64] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Values:
    """Two-sided p of each column of paired differences [queries, columns].

    Signs are flipped at random, per cluster; up to 12 clusters all sign patterns are counted.
    A sampled p is (1 + as extreme) / (1 + resamples), never 0.
    """
    sums, _ = _by_cluster(differences, clusters)
    observed = np.abs(sums.sum(axis=0))
    # Sums of the same numbers in another order differ in the last digits: count those as equal.
    bar = observed - 1e-12 * np.maximum(np.abs(sums).sum(axis=0), 1e-300)
    if len(sums) <= EXACT_UP_TO:
        patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return np.asarray((np.abs((1.0 - 2.0 * patterns) @ sums) >= bar).mean(axis=0))
    rng = np.random.default_rng(seed)
    count, total = len(sums), sums.sum(axis=0)
    extreme = np.zeros(differences.shape[1])
    for start in range(0, resamples, BLOCK):
        drawn = rng.integers(
            256, size=(min(BLOCK, resamples - start), count // 8 + 1), dtype=np.uint8
        )
        positive = np.unpackbits(drawn, axis=1, count=count).astype(np.float64)
        extreme += (np.abs(2 * (positive @ sums) - total) >= bar).sum(axis=0)
    return np.asarray((1 + extreme) / (1 + resamples))


def holm(p_values: Values) -> Values:
    """Holm's step-down correction: multiply the i-th smallest of m by m - i + 1, keep monotone."""
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def minimum_detectable_difference(
    differences: Values,
    *,
    clusters: NDArray[np.int64] | None = None,
    alpha: float = 0.05,
    power: float = POWER,
) -> float | None:
    """Smallest mean difference a two-sided paired test would find with this power.

    (z[1 - alpha/2] + z[power]) times the standard error of the mean of `differences` [queries];
    None where there is but one cluster.
    """
    centred = (differences - differences.mean())[:, None]
    sums, _ = _by_cluster(centred, clusters)
    count = len(sums)
    if count < 2:
        return None
    error = np.sqrt((sums**2).sum() * count / (count - 1)) / len(differences)
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error)


def compare_profiles(
    values: Mapping[str, Values],
    metric: str,
    *,
    clusters: NDArray[np.int64] | None = None,
    seed: int = 0,
    means: Values | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Comparison]:
    """Pairs of profiles, every one if none is named, corrected together.

    values: profile -> [queries]. means: bootstrap means of the profiles, float64 [resamples,
    profiles], where they are at hand.
    """
    if pairs is None:
        pairs = list(combinations(values, 2))
    if not pairs:
        return []
    differences = np.column_stack([values[first] - values[second] for first, second in pairs])
    if means is None:
        table = np.column_stack(list(values.values()))
        means = bootstrap_means(table, clusters=clusters, seed=seed)
    place = {name: column for column, name in enumerate(values)}
    left, right = np.array([[place[first], place[second]] for first, second in pairs]).T
    low, high = interval(means[:, left] - means[:, right])
    p_values = paired_randomisation(differences, clusters=clusters, seed=seed)
    corrected = holm(p_values)
    return [
        Comparison(
            first=first,
            second=second,
            metric=metric,
            difference=float(column.mean()),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p_values[i]),
            p_holm=float(corrected[i]),
            wins=int((column > 0).sum()),
            ties=int((column == 0).sum()),
            losses=int((column < 0).sum()),
            detectable=minimum_detectable_difference(column, clusters=clusters),
        )
        for i, ((first, second), column) in enumerate(zip(pairs, differences.T, strict=True))
    ]


def cluster_numbers(groups: Sequence[str]) -> NDArray[np.int64]:
    """Number the clusters of the queries: those of one group together, "" each alone."""
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def _by_cluster(values: Values, clusters: NDArray[np.int64] | None) -> tuple[Values, Values]:
    """Sums [clusters, columns] and sizes [clusters]."""
    if clusters is None:
        return values, np.ones(len(values))
    sizes = np.bincount(clusters).astype(np.float64)
    columns = [np.bincount(clusters, weights=column) for column in values.T]
    return np.column_stack(columns), sizes
