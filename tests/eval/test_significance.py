from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eval.collection.clusters import Clusters
from eval.measure.bootstrap import bootstrap
from eval.measure.significance import (
    compare_profiles,
    families,
    holm,
    minimum_detectable_difference,
    paired_randomisation,
)


def alone(count):
    return Clusters.connect([[]] * count)


@pytest.fixture
def values():
    rng = np.random.default_rng(1)
    first = rng.random(120)
    return first, np.clip(first + rng.normal(0.03, 0.2, 120), 0, 1)


def test_ratios_are_those_of_a_plain_loop(values):
    """Deviations over standard errors, resample by resample, in float64."""
    table = np.column_stack(values)
    clusters = Clusters.connect([[str(row // 3 if row < 60 else row)] for row in range(120)])
    found = bootstrap(table, clusters, resamples=20, seed=3)
    count = len(clusters.names)
    sums = np.stack([table[clusters.numbers == n].sum(axis=0) for n in range(count)])
    sizes = clusters.sizes
    drawn = np.random.default_rng(3).integers(count, size=(20, count))
    for row, some in enumerate(drawn):
        mean = sums[some].sum(axis=0) / sizes[some].sum()
        residuals = sums[some] - sizes[some][:, None] * mean
        error = np.sqrt((residuals**2).sum(axis=0)) / sizes[some].sum()
        assert found.ratios[row] == pytest.approx((mean - table.mean(axis=0)) / error, rel=2e-3)


def test_the_interval_is_that_of_the_bootstrap_t(values):
    """Studentised by hand over single queries: the ends that scipy does not offer."""
    sample = values[0]
    rng = np.random.default_rng(5)
    drawn = sample[rng.integers(len(sample), size=(20_000, len(sample)))]
    ratios = (drawn.mean(axis=1) - sample.mean()) / (drawn.std(axis=1) / np.sqrt(len(sample)))
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    low, high = np.quantile(ratios, [0.025, 0.975])
    ours = bootstrap(sample[:, None], alone(120), resamples=20_000).interval(lowest=-1.0)
    assert ours[0][0] == pytest.approx(sample.mean() - high * error, abs=2e-3)
    assert ours[1][0] == pytest.approx(sample.mean() - low * error, abs=2e-3)


def test_a_further_column_changes_no_interval(values):
    one = bootstrap(values[0][:, None], alone(120), seed=4)
    two = bootstrap(np.column_stack(values), alone(120), seed=4)
    assert one.ratios[:, 0] == pytest.approx(two.ratios[:, 0], rel=1e-4)


def test_a_figure_without_spread_still_has_an_interval():
    found = bootstrap(np.ones((100, 1)), alone(100))
    low, high = found.interval()
    assert high[0] == 1.0
    assert low[0] == pytest.approx(0.025 ** (1 / 100))  # Clopper and Pearson


def test_one_cluster_tells_nothing():
    one = Clusters.connect([["case A"]] * 30)
    low, high = bootstrap(np.linspace(0, 1, 30)[:, None], one).interval()
    assert (low[0], high[0]) == (0.0, 1.0)


def test_intervals_cover_where_cases_differ_in_size():
    """A fast stand-in for benchmarks/inference.py: 60 cases, one of them a tenth of the queries."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        sizes = np.append(rng.integers(1, 5, 60), 18)
        means = rng.beta(0.6, 2.4, 61)
        values = rng.random(sizes.sum()) < np.repeat(means, sizes)
        clusters = Clusters.connect([[str(n)] for n in np.repeat(np.arange(61), sizes)])
        low, high = bootstrap(values[:, None] * 1.0, clusters, resamples=400).interval()
        covered += low[0] <= 0.2 <= high[0]
    assert covered >= 0.9 * 200


def test_intervals_cover_a_figure_that_a_handful_of_clusters_make():
    """One cluster in thirty is found and all others are not: many samples hold none or one."""
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(200):
        sizes = rng.integers(1, 6, 60)
        values = np.repeat(rng.random(60) < 1 / 30, sizes) * 1.0
        clusters = Clusters.connect([[str(n)] for n in np.repeat(np.arange(60), sizes)])
        low, high = bootstrap(values[:, None], clusters, resamples=400).interval()
        covered += low[0] <= 1 / 30 <= high[0]
    assert covered >= 0.93 * 200


@pytest.mark.parametrize("shift", [0, 0.04, 0.06])
def test_randomisation_agrees_with_scipy(values, shift):
    difference = values[0] - values[1] + shift
    ours = paired_randomisation(difference[:, None], alone(120), resamples=40_000)[0]
    theirs = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=40_000, rng=5
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.005)


def test_few_queries_are_counted_exactly():
    difference = np.array([0.5, 0.25, 0.0, -0.1, 0.3, 0.2, 0.1])
    ours = paired_randomisation(difference[:, None], alone(7))[0]
    theirs = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_identical_profiles_are_not_different():
    assert paired_randomisation(np.zeros((50, 1)), alone(50))[0] == 1.0


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_detectable_difference_has_the_power_it_says():
    rng = np.random.default_rng(2)
    spread = rng.normal(0, 0.3, 400)
    shift = minimum_detectable_difference(spread, alone(400))
    trials = rng.normal(shift, spread.std(ddof=1), (500, 400))
    found = stats.ttest_1samp(trials, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("shift", [0.0, -0.03, 0.03])
def test_the_one_sided_test_agrees_with_scipy(values, shift):
    difference = values[0] - values[1] + 0.03 + shift
    ours = paired_randomisation(
        difference[:, None], alone(120), resamples=40_000, alternative="less"
    )[0]
    theirs = stats.permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        n_resamples=40_000,
        alternative="less",
        rng=5,
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.01)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(3)
    values = np.repeat(rng.random(30), 10)[:, None]
    clusters = Clusters.connect([[f"case{i}"] for i in np.repeat(np.arange(30), 10)])
    one = bootstrap(values, alone(300)).interval()
    together = bootstrap(values, clusters).interval()
    assert (together[1] - together[0])[0] > 2 * (one[1] - one[0])[0]
    assert (
        paired_randomisation(values - 0.45, clusters)[0]
        > paired_randomisation(values - 0.45, alone(300))[0]
    )


def test_clusters_are_connected_components():
    keys = [["case A", "caption x"], ["case B", "caption x"], ["case B"], ["case C"], [], []]
    found = Clusters.connect(keys)
    assert len(set(found.numbers[:3].tolist())) == 1
    assert len(found.names) == 4
    assert found.effective == pytest.approx(6**2 / (9 + 1 + 1 + 1))
    assert found.take(np.array([0, 3])).sizes.tolist() == [1, 1]


def test_the_family_is_declared():
    found = families(["lexical", "vector", "hybrid_sum", "hybrid", "rank-bm25 defaults"])
    assert found["declared"] == [("lexical", "vector"), ("lexical", "hybrid"), ("vector", "hybrid")]
    assert len(found["further"]) == 6
    assert families(["mine", "other"])["declared"] == [("mine", "other")]
    assert families(["vector", "mine"])["declared"] == [("vector", "mine")]


def test_wins_ties_and_losses():
    values = {"a": np.array([1, 0, 0.5]), "b": np.array([0.5, 0, 1])}
    (found,) = compare_profiles(values, "RR@10", alone(3))
    assert (found.wins, found.ties, found.losses) == (1, 1, 1)
    assert found.difference == 0


def test_what_is_corrected_is_wider(values):
    three = {"a": values[0], "b": values[1], "c": values[0][::-1]}
    for found in compare_profiles(three, "RR@10", alone(120)):
        assert found.low_adjusted < found.low
        assert found.high_adjusted > found.high
        assert found.p_holm >= found.p
