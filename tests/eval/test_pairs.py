from __future__ import annotations

import numpy as np
import pytest

from eval.measure.pairs import pairs_card


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_smaller_the_pool_the_better_the_figure():
    rng = np.random.default_rng(0)
    images = unit(rng.standard_normal((2200, 8)))
    captions = unit(images + 0.35 * rng.standard_normal((2200, 8)))
    lines = {
        line.protocol: line
        for line in pairs_card(
            [f"p{i}" for i in range(2200)], captions, images, groups=[""] * 2200, resamples=100
        )
    }
    values = [
        lines[f"pairs-{p}-text-to-image"].figures["RR@10"][0] for p in ("full", "2000", "batch64")
    ]
    assert values[0] < values[1] < values[2]
    assert [lines[f"pairs-{p}-image-to-text"].pool for p in ("full", "2000", "batch64")] == [
        2200,
        2000,
        64,
    ]
    assert len(lines["pairs-batch64-text-to-image"].ranks) == 2200 // 64 * 64


def test_ranks_by_hand():
    captions = unit(np.array([[1.0, 0], [1, 0], [0, 1]]))
    images = unit(np.array([[1.0, 0.1], [0.1, 1], [0, 1]]))
    line = pairs_card(["a", "b", "c"], captions, images, groups=["", "", ""])[0]
    assert line.ranks.tolist() == [1, 2, 1]
    assert line.figures["Success@1"][0] == pytest.approx(2 / 3)
    assert line.chance["Success@1"] == pytest.approx(1 / 3)


def test_vectors_that_are_all_equal_earn_nothing():
    same = unit(np.ones((100, 4)))
    card = pairs_card([str(i) for i in range(100)], same, same, groups=[""] * 100)
    assert card[0].figures["Success@1"][0] == 0


def test_pairs_of_one_case_are_resampled_together():
    """Cases that are found whole or not at all tell as little as one query each."""
    rng = np.random.default_rng(0)
    images = unit(rng.standard_normal((80, 64)))
    cases = np.arange(80) // 10
    captions = np.where((cases % 2 == 0)[:, None], images, -images)
    ids = [str(i) for i in range(80)]

    def width(groups):
        line = pairs_card(ids, captions, images, groups=groups)[0]
        value, low, high = line.figures["Success@1"]
        assert value == pytest.approx(0.5)
        return high - low

    assert width([f"case {case}" for case in cases]) > 2.5 * width([""] * 80)
