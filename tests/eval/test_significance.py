from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eval.measure.significance import (
    bootstrap_means,
    cluster_numbers,
    compare_profiles,
    holm,
    interval,
    minimum_detectable_difference,
    paired_randomisation,
)


@pytest.fixture
def values():
    rng = np.random.default_rng(1)
    first = rng.random(120)
    return first, np.clip(first + rng.normal(0.03, 0.2, 120), 0, 1)


def test_the_interval_agrees_with_scipy(values):
    low, high = interval(bootstrap_means(values[0][:, None], resamples=20_000))
    theirs = stats.bootstrap(
        (values[0],), np.mean, n_resamples=20_000, method="percentile", rng=5
    ).confidence_interval
    assert low[0] == pytest.approx(theirs.low, abs=2e-3)
    assert high[0] == pytest.approx(theirs.high, abs=2e-3)


def test_the_same_seed_gives_the_same_interval(values):
    columns = np.column_stack(values)
    assert np.array_equal(bootstrap_means(columns, seed=4), bootstrap_means(columns, seed=4))


@pytest.mark.parametrize("shift", [0, 0.04, 0.06])
def test_randomisation_agrees_with_scipy(values, shift):
    difference = values[0] - values[1] + shift
    ours = paired_randomisation(difference[:, None], resamples=40_000)[0]
    theirs = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=40_000, rng=5
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.005)


def test_few_queries_are_counted_exactly():
    difference = np.array([0.5, 0.25, 0.0, -0.1, 0.3, 0.2, 0.1])
    ours = paired_randomisation(difference[:, None])[0]
    theirs = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_identical_profiles_are_not_different():
    assert paired_randomisation(np.zeros((50, 1)))[0] == 1.0


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_detectable_difference_has_the_power_it_says():
    rng = np.random.default_rng(2)
    spread = rng.normal(0, 0.3, 400)
    shift = minimum_detectable_difference(spread)
    trials = rng.normal(shift, spread.std(ddof=1), (500, 400))
    found = stats.ttest_1samp(trials, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.06)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(3)
    values = np.repeat(rng.random(30), 10)[:, None]
    clusters = cluster_numbers(np.repeat([f"case{i}" for i in range(30)], 10).tolist())
    alone = interval(bootstrap_means(values))
    together = interval(bootstrap_means(values, clusters=clusters))
    assert (together[1] - together[0])[0] > 2 * (alone[1] - alone[0])[0]
    assert (
        paired_randomisation(values - 0.45, clusters=clusters)[0]
        > paired_randomisation(values - 0.45)[0]
    )


def test_queries_without_a_group_stand_alone():
    assert len(set(cluster_numbers(["", "", "a", "a"]).tolist())) == 3


def test_wins_ties_and_losses():
    found = compare_profiles({"a": np.array([1, 0, 0.5]), "b": np.array([0.5, 0, 1])}, "RR@10")
    assert (found[0].wins, found[0].ties, found[0].losses) == (1, 1, 1)
    assert found[0].difference == 0
