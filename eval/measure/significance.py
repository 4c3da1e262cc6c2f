"""Paired randomisation over clusters, Holm's correction, detectable differences.

Queries of one cluster (eval/collection/clusters.py) are not independent: whole clusters change
sign together. Sources: Smucker, Allan & Carterette (CIKM 2007); Holm (1979); Sakai (2018),
ch. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from eval.collection.clusters import Clusters
from eval.measure.bootstrap import BLOCK, LEVEL, RESAMPLES, Bootstrap, bootstrap, cluster_sums

__all__ = [
    "ALPHA",
    "DECLARED",
    "Comparison",
    "Family",
    "compare_profiles",
    "families",
    "holm",
    "minimum_detectable_difference",
    "paired_randomisation",
]

Values = NDArray[np.float64]
Pair = tuple[str, str]
Family = Literal["declared", "further"]

# The question of every report, fixed before any figure is seen. Baselines and further profiles
# are compared with these in a family of their own, so that adding one changes no verdict.
DECLARED = ("lexical", "vector", "hybrid")

ALPHA = 0.05
POWER = 0.8
EXACT_UP_TO = 12


@dataclass(frozen=True)
class Comparison:
    """One ranking against another on the same queries.

    difference: mean of first minus second, with its 95 % interval. p: two sided, the larger of
    paired randomisation and the bootstrap's own test; p_holm: corrected over the family.
    low_adjusted, high_adjusted: the interval at the level that holds for all of the family
    together (Bonferroni). detectable: the smallest difference found with power .8 at the
    corrected level, given this spread and number of clusters; None if all queries are of one
    cluster, of which nothing can be told.
    """

    first: str
    second: str
    metric: str
    family: Family
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    low_adjusted: float
    high_adjusted: float
    wins: int
    ties: int
    losses: int
    detectable: float | None


def families(profiles: Sequence[str]) -> dict[Family, list[Pair]]:
    """The pairs that are compared: the declared three, and all others against them.

    Where fewer than two of the declared profiles were evaluated, every pair is declared.
    """
    declared = [name for name in DECLARED if name in profiles]
    if len(declared) < 2:
        return {"declared": list(combinations(profiles, 2)), "further": []}
    further = [name for name in profiles if name not in declared]
    return {
        "declared": list(combinations(declared, 2)),
        "further": list(product(further, declared)),
    }


def compare_profiles(
    values: Mapping[str, Values],
    metric: str,
    clusters: Clusters,
    *,
    pairs: Sequence[Pair] | None = None,
    family: Family = "declared",
    seed: int = 0,
    resampled: Bootstrap | None = None,
) -> list[Comparison]:
    """Pairs of profiles, every one if none is named, corrected together.

    values: profile -> float64 [queries]. resampled: the bootstrap of the pairs' differences, one
    column a pair, where it is at hand.
    """
    if pairs is None:
        pairs = list(combinations(values, 2))
    if not pairs:
        return []
    differences = np.column_stack([values[first] - values[second] for first, second in pairs])
    found = resampled or bootstrap(differences, clusters, resamples=RESAMPLES, seed=seed)
    low, high = found.interval(lowest=-1.0)
    strict = 1 - (1 - LEVEL) / len(pairs)
    wide_low, wide_high = found.interval(level=strict, lowest=-1.0)
    # Flipped signs take differences for symmetric, which a few large clusters are not: a
    # difference counts where the bootstrap's own test agrees.
    p_values = np.maximum(paired_randomisation(differences, clusters, seed=seed), found.p_values())
    corrected = holm(p_values)
    return [
        Comparison(
            first=first,
            second=second,
            metric=metric,
            family=family,
            difference=float(column.mean()),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p_values[i]),
            p_holm=float(corrected[i]),
            low_adjusted=float(wide_low[i]),
            high_adjusted=float(wide_high[i]),
            wins=int((column > 0).sum()),
            ties=int((column == 0).sum()),
            losses=int((column < 0).sum()),
            detectable=minimum_detectable_difference(column, clusters, alpha=ALPHA / len(pairs)),
        )
        for i, ((first, second), column) in enumerate(zip(pairs, differences.T, strict=True))
    ]


def paired_randomisation(
    differences: Values,
    clusters: Clusters,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    alternative: Literal["two-sided", "less"] = "two-sided",
) -> Values:
    """The p of each column of paired differences [queries, columns].

    alternative: "less" asks whether the mean lies below 0, "two-sided" whether it is another.
    Signs are flipped at random, per cluster; up to 12 clusters all sign patterns are counted.
    A sampled p is (1 + as extreme) / (1 + resamples), never 0.
    """
    sums = cluster_sums(differences, clusters.numbers, len(clusters.names))

    def strength(totals: Values) -> Values:
        return np.abs(totals) if alternative == "two-sided" else -totals

    # Sums of the same numbers in another order differ in the last digits: count those as equal.
    rounding = 1e-12 * np.maximum(np.abs(sums).sum(axis=0), 1e-300)
    threshold = strength(sums.sum(axis=0)) - rounding
    if len(sums) <= EXACT_UP_TO:
        patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return np.asarray((strength((1.0 - 2.0 * patterns) @ sums) >= threshold).mean(axis=0))
    rng = np.random.default_rng(seed)
    count, total = len(sums), sums.sum(axis=0)
    extreme = np.zeros(differences.shape[1])
    for start in range(0, resamples, BLOCK):
        drawn = rng.integers(
            256, size=(min(BLOCK, resamples - start), count // 8 + 1), dtype=np.uint8
        )
        positive = np.unpackbits(drawn, axis=1, count=count).astype(np.float64)
        extreme += (strength(2 * (positive @ sums) - total) >= threshold).sum(axis=0)
    return np.asarray((1 + extreme) / (1 + resamples))


def holm(p_values: Values) -> Values:
    """Holm's step-down correction: multiply the i-th smallest of m by m - i + 1, keep monotone."""
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def minimum_detectable_difference(
    differences: Values, clusters: Clusters, *, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """Smallest mean difference a two-sided paired test would find with this power.

    (z[1 - alpha/2] + z[power]) times the standard error of the mean of `differences` [queries];
    None if there is but one cluster.
    """
    centred = (differences - differences.mean())[:, None]
    sums = cluster_sums(centred, clusters.numbers, len(clusters.names))
    count = len(sums)
    if count < 2:
        return None
    error = np.sqrt((sums**2).sum() * count / (count - 1)) / len(differences)
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error)
