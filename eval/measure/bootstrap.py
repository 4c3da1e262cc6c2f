"""Intervals by the studentised cluster bootstrap.

Whole clusters are resampled (Efron & Tibshirani, 1993, ch. 12 and 13); each resample's mean is
divided by the standard error of that very resample, which a percentile interval does not do and
which is what makes intervals cover where clusters differ in size or values are skewed (Hall,
1988). Standard errors are linearised for a ratio, the mean over queries of whole clusters.
`benchmarks/inference.py` measures the coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from eval.collection.clusters import Clusters

__all__ = ["ENOUGH", "FEWER", "LEVEL", "RESAMPLES", "Bootstrap", "bootstrap"]

Values = NDArray[np.float64]

RESAMPLES = 5_000
# Resamples of side figures: their intervals' ends are then sure to about 3 % of their width.
FEWER = 1_000
LEVEL = 0.95
# Below this number of effective clusters no interval is reliable (see docs/evaluation.md).
ENOUGH = 40
BLOCK = 64  # resamples held at once
TINY = 1e-6  # of the observed variance: a resample without spread, up to rounding


@dataclass(frozen=True)
class Bootstrap:
    """Means of columns, and how far resampled means stray from them.

    means, errors: float64 [columns]. ratios: float32 [resamples, columns], the deviation of each
    resampled mean in its own standard errors; NaN where a resample has no spread. crossed: sum
    over clusters of size times deviation, over the squared number of queries, float64 [columns].
    clusters: how many there are; effective: how many equally large ones tell as much.
    """

    means: Values
    errors: Values
    ratios: NDArray[np.float32]
    crossed: Values
    clusters: int
    effective: float

    def interval(
        self, *, level: float = LEVEL, lowest: float = 0.0, highest: float = 1.0
    ) -> tuple[Values, Values]:
        """Ends of each column's interval, float64 [columns], between `lowest` and `highest`.

        One cluster tells nothing of others: its interval is everything from lowest to highest.
        Neither side is narrower than Student's. Between 0 and 1 neither is narrower than
        Student's after one more cluster of the value at that end, as Agresti and Coull (1998)
        add trials to a proportion's: where a handful of clusters make a figure, a sample that
        misses them cannot know of them, nor can its resamples.
        """
        count = len(self.means)
        if self.clusters < 2:
            return np.full(count, lowest), np.full(count, highest)
        tail = (1 - level) / 2
        below, above = np.full(count, np.nan), np.full(count, np.nan)
        known = np.isfinite(self.ratios).any(axis=0)
        if known.any():
            ends = np.nanquantile(self.ratios[:, known], [tail, 1 - tail], axis=0)
            below[known], above[known] = ends[1], -ends[0]
        freedom = max(min(self.effective, self.clusters) - 1, 1.0)
        least = float(student.ppf(1 - tail, freedom))
        low = self.means - np.fmax(below, least) * self.errors
        high = self.means + np.fmax(above, least) * self.errors
        if (lowest, highest) == (0.0, 1.0):
            low = np.minimum(low, self._with_unseen(lowest, -least))
            high = np.maximum(high, self._with_unseen(highest, least))
        low, high = np.maximum(low, lowest), np.minimum(high, highest)
        # Every cluster at the same end of the scale: Clopper and Pearson (1934), whose interval
        # for n successes of n ends at (tail)^(1/n).
        far = (highest - lowest) * (1 - tail ** (1 / self.effective))
        without_spread = self.errors == 0
        low = np.where(without_spread & (self.means >= highest), highest - far, low)
        high = np.where(without_spread & (self.means <= lowest), lowest + far, high)
        return low, high

    def _with_unseen(self, value: float, errors: float) -> Values:
        """Means plus so many errors, after one more cluster, of mean size, at this value."""
        share = 1 / self.clusters
        means = (self.means + share * value) / (1 + share)
        moved = self.means - means
        added = 2 * moved * self.crossed + moved**2 / self.effective
        added += ((value - means) / self.clusters) ** 2
        spread = self.errors**2 + added * self.clusters / (self.clusters - 1)
        return np.asarray(means + errors * np.sqrt(np.maximum(spread, 0)) / (1 + share))

    def p_values(self) -> Values:
        """Two-sided p of each column's mean being 0, float64 [columns]: the interval's own test.

        Where a column has no spread: 1 for a mean of 0, else 0, all of it being on one side.
        """
        found = np.where(self.means == 0, 1.0, 0.0)
        found[(self.errors > 0) | (self.clusters < 2)] = 1.0
        known = (self.errors > 0) & np.isfinite(self.ratios).any(axis=0)
        if known.any():
            ratios = self.ratios[:, known]
            observed = self.means[known] / self.errors[known]
            count = np.isfinite(ratios).sum(axis=0) + 1
            above = ((ratios >= observed).sum(axis=0) + 1) / count
            below = ((ratios <= observed).sum(axis=0) + 1) / count
            found[known] = np.minimum(2 * np.minimum(above, below), 1.0)
        return found


def bootstrap(
    values: Values, clusters: Clusters, *, resamples: int = RESAMPLES, seed: int = 0
) -> Bootstrap:
    """Resample the clusters of values [queries, columns].

    All columns see the same resamples. Which ones follows from the seed and the number of
    clusters alone, so that a further column changes no other.
    """
    sizes = clusters.sizes
    count, total = len(sizes), sizes.sum()
    means = values.mean(axis=0)
    residuals = cluster_sums(values - means, clusters.numbers, count)
    spread = (residuals**2).sum(axis=0)
    spread[spread <= 1e-20 * total**2] = 0.0
    correction = count / (count - 1) if count > 1 else 1.0
    return Bootstrap(
        means=means,
        errors=np.sqrt(spread * correction) / total,
        ratios=_ratios(residuals, sizes, spread / total**2, resamples, seed),
        crossed=sizes @ residuals / total**2,
        clusters=count,
        effective=clusters.effective,
    )


def cluster_sums(values: Values, numbers: NDArray[np.int64], count: int) -> Values:
    """Sums of each cluster, float64 [clusters, columns], of values [queries, columns]."""
    columns = [np.bincount(numbers, weights=column, minlength=count) for column in values.T]
    return np.column_stack(columns) if columns else np.empty((count, 0))


def _ratios(
    residuals: Values, sizes: Values, variances: Values, resamples: int, seed: int
) -> NDArray[np.float32]:
    """Deviations of resampled means in their own standard errors, float32 [resamples, columns].

    With drawn weights w, residual sums r and sizes n: the deviation is d = sum wr / sum wn, its
    variance sum w (r - nd)^2 / (sum wn)^2, which three products of matrices give for all columns.
    """
    count, columns = residuals.shape
    alone = bool((sizes == 1).all())
    scale = np.sqrt(variances * sizes.sum() ** 2)
    scale[scale == 0] = 1.0
    residuals = residuals / scale  # so that float32 is enough
    parts = [residuals, residuals**2]
    if not alone:
        parts += [residuals * sizes[:, None], sizes[:, None], (sizes**2)[:, None]]
    table = np.hstack(parts).astype(np.float32)
    rng = np.random.default_rng(seed)
    ratios = np.empty((resamples, columns), np.float32)
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums = weights.astype(np.float32) @ table
        first, squares = sums[:, :columns], sums[:, columns : 2 * columns]
        if alone:
            variance = squares - first**2 / count
        else:
            crossed = sums[:, 2 * columns : 3 * columns]
            total, second = sums[:, -2:-1], sums[:, -1:]
            mean = first / total
            variance = squares - 2 * mean * crossed + mean**2 * second
        # Sums over the root of the sums' variance: the number of queries drawn cancels.
        block = np.full((rows, columns), np.nan, np.float32)
        np.divide(first, np.sqrt(np.maximum(variance, 0)), out=block, where=variance > TINY)
        ratios[start : start + rows] = block
    ratios[:, variances == 0] = np.nan
    return ratios
