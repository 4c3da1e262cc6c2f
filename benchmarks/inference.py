"""How far intervals and tests keep what they promise: coverage, size and power.

    python -m benchmarks.inference [--report REPORT ...] [--draws 500] [--populations 12]

Populations are the clusters of real reports (REPORT/per_query.parquet), or made up where none is
named. Samples are drawn from each on a fixed grid: none, a tenth, three tenths or half of the
queries are of one case, whose queries are drawn from one cluster; RR@10 and nDCG@10. Coverage is
how often a 95 % interval holds the population's mean; beside it stands the percentile bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.collection.clusters import Clusters
from eval.measure.bootstrap import ENOUGH, bootstrap
from eval.measure.significance import ALPHA, DECLARED, holm, paired_randomisation

METRICS = ("RR@10", "nDCG@10")
# Share of the largest case, and how many other clusters: effective clusters from 60 down to 4.
GRID = ((0.0, 80), (0.1, 120), (0.3, 60), (0.5, 60))
RESAMPLES = 600
FEWEST = 25  # clusters of a population
LARGEST = 1 / 40  # of a population's queries: larger clusters are what the grid adds
MOST = 12  # populations

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Clusters of queries, float64 [queries, metrics] each."""

    name: str
    clusters: list[Values]

    @property
    def mean(self) -> Values:
        """Over all queries, float64 [metrics]."""
        return np.concatenate(self.clusters).mean(axis=0)


def main() -> None:
    """Print coverage by cell, then size and power."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--report", type=Path, action="append", default=[])
    options.add_argument("--draws", type=int, default=500)
    options.add_argument("--populations", type=int, default=MOST)
    asked = options.parse_args()
    found = [p for report in asked.report for p in _of_report(report)] or list(_made_up())
    chosen = np.random.default_rng(0).permutation(len(found))[: asked.populations]
    populations = [found[i] for i in np.sort(chosen)]
    _coverage(populations, asked.draws)
    _size(populations)
    _power()


def _coverage(populations: list[Population], draws: int) -> None:
    print("coverage of 95 % intervals (percentile bootstrap), effective clusters, mean width")
    worst: dict[bool, float] = {True: 1.0, False: 1.0}
    for place, (share, count) in enumerate(GRID):
        for number, population in enumerate(populations):
            rng = np.random.default_rng([place, number])
            inside, inside_plain = np.zeros(len(METRICS)), np.zeros(len(METRICS))
            width, effective = np.zeros(len(METRICS)), 0.0
            for _ in range(draws):
                values, clusters = _draw(population, share, count, rng)
                seed = int(rng.integers(2**31))
                sampled = bootstrap(values, clusters, resamples=RESAMPLES, seed=seed)
                low, high = sampled.interval()
                inside += (low <= population.mean) & (population.mean <= high)
                low_plain, high_plain = _percentile(values, clusters, rng)
                inside_plain += (low_plain <= population.mean) & (population.mean <= high_plain)
                width += high - low
                effective += clusters.effective
            mean_effective = effective / draws
            for column, metric in enumerate(METRICS):
                rate = inside[column] / draws
                enough = mean_effective >= ENOUGH
                worst[enough] = min(worst[enough], rate)
                print(
                    f"  share {share:3.1f}  {mean_effective:5.1f}  {population.name:<38}{metric:<8}"
                    f" mean {population.mean[column]:.3f}  {rate:.3f} "
                    f"({inside_plain[column] / draws:.3f})  width {width[column] / draws:.3f}"
                )
    print(f"worst cell at {ENOUGH} or more effective clusters: {worst[True]:.3f}")
    print(f"worst cell below: {worst[False]:.3f}")


def _draw(
    population: Population, share: float, count: int, rng: np.random.Generator
) -> tuple[Values, Clusters]:
    """Clusters drawn with replacement, and a large one made of one cluster's queries."""
    chosen = [population.clusters[i] for i in rng.integers(len(population.clusters), size=count)]
    if share:
        sizes = np.array([len(each) for each in population.clusters], np.float64)
        one = population.clusters[rng.choice(len(sizes), p=sizes / sizes.sum())]
        large = round(share / (1 - share) * sum(map(len, chosen)))
        chosen.append(one[rng.integers(len(one), size=large)])
    numbers = np.repeat(np.arange(len(chosen)), [len(each) for each in chosen])
    return np.concatenate(chosen), Clusters(numbers, ("",) * len(chosen))


def _percentile(
    values: Values, clusters: Clusters, rng: np.random.Generator
) -> tuple[Values, Values]:
    sums = np.column_stack([np.bincount(clusters.numbers, weights=c) for c in values.T])
    weights = rng.multinomial(len(sums), np.ones(len(sums)) / len(sums), size=RESAMPLES)
    means = (weights @ sums) / (weights @ clusters.sizes)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def _size(populations: list[Population], draws: int = 2_000) -> None:
    """How often the paired test finds a difference between rankings that are equally good.

    Between the two metrics of a population, moved to the same mean: as they are, and with labels
    swapped at random from cluster to cluster.
    """
    for place, (share, count) in enumerate(GRID[:2]):
        for population in populations[:1]:
            rng = np.random.default_rng([2, place])
            found = {"labels swapped": 0, "means equal": 0}
            for row in range(draws):
                values, clusters = _draw(population, share, count, rng)
                gap = values[:, 0] - values[:, 1] - (population.mean[0] - population.mean[1])
                swapped = gap * rng.choice([-1.0, 1.0], len(clusters.names))[clusters.numbers]
                for name, each in (("labels swapped", swapped), ("means equal", gap)):
                    column = each[:, None]
                    flipped = paired_randomisation(column, clusters, resamples=1_000, seed=row)
                    resampled = bootstrap(column, clusters, resamples=RESAMPLES, seed=row)
                    p = max(flipped[0], resampled.p_values()[0])
                    found[name] += p < ALPHA
            told = ", ".join(f"{name} {hits / draws:.3f}" for name, hits in found.items())
            print(f"size of the paired test at .05, share {share}, {population.name}: {told}")


def _power(blocks: int = 60, draws: int = 500) -> None:
    """A gate over four rankings of 190 queries: one falls by .036, or all change by noise alone.

    Each block of draws has sign patterns of its own: those of one seed are off by chance for all.
    """
    queries, spread, fall = 190, 0.226, 0.036
    alone = Clusters(np.arange(queries), ("",) * queries)
    found, both, alarms = [], [], []
    for block in range(blocks):
        rng = np.random.default_rng([3, block])
        noise = rng.normal(0, spread, (4, queries, draws))

        def p_of(values: Values, one_sided: bool = True, seed: int = block) -> Values:
            kind: Literal["less", "two-sided"] = "less" if one_sided else "two-sided"
            return paired_randomisation(values, alone, resamples=2_000, seed=seed, alternative=kind)

        found.append(p_of(noise[0] - fall) < ALPHA)
        both.append(4 * p_of(noise[0] - fall, one_sided=False) < ALPHA)
        others = np.stack([p_of(each) for each in noise])
        alarms.append([(holm(column) < ALPHA).any() for column in others.T])
    told = {
        f"power of compare, one of four falls by {fall}, others as before": found,
        "false alarms of compare, four rankings changed by noise alone": alarms,
        "the same fall by a two-sided test corrected over four": both,
    }
    for what, each in told.items():
        rates = np.mean(each, axis=1)
        print(f"{what}: {rates.mean():.4f} (standard error {rates.std() / blocks**0.5:.4f})")


def _of_report(report: Path) -> Iterator[Population]:
    table = pd.read_parquet(report / "per_query.parquet")
    for (protocol, profile), part in table.groupby(["protocol", "profile"], sort=True):
        if profile not in DECLARED:
            continue
        clusters = [each[list(METRICS)].to_numpy() for _, each in part.groupby("cluster")]
        clusters = [each for each in clusters if len(each) <= max(1, LARGEST * len(part))]
        if len(clusters) >= FEWEST and np.concatenate(clusters).std() > 0:
            yield Population(f"{report.parent.name} {protocol} {profile}", clusters)


def _made_up() -> Iterator[Population]:
    """Ranks with effects of their cluster and of their own."""
    rng = np.random.default_rng(1)
    for name, middle in (("weak", 4.5), ("fair", 2.5), ("good", 0.3), ("strong", -1.5)):
        clusters = []
        for size in np.minimum(rng.geometric(0.45, 3_000), 12):
            level = middle + 1.3 * rng.standard_normal() + rng.standard_normal(size)
            rank = np.ceil(np.exp(np.minimum(level, 8)))
            found = rank <= 10
            clusters.append(np.column_stack([found / rank, found / np.log2(rank + 1)]))
        yield Population(f"made up, {name}", clusters)


if __name__ == "__main__":
    main()
