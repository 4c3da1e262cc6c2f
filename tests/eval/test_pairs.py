from __future__ import annotations

import numpy as np
import pytest

from eval.collection.clusters import Clusters
from eval.measure.pairs import pairs_card


def alone(count):
    return Clusters.connect([[]] * count)


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_smaller_the_pool_the_better_the_figure():
    rng = np.random.default_rng(0)
    images = unit(rng.standard_normal((2200, 8)))
    captions = unit(images + 0.35 * rng.standard_normal((2200, 8)))
    lines = {
        line.protocol: line
        for line in pairs_card(
            [f"p{i}" for i in range(2200)], captions, images, clusters=alone(2200)
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
    line = pairs_card(["a", "b", "c"], captions, images, clusters=alone(3))[0]
    assert line.ranks.tolist() == [1, 2, 1]
    assert line.figures["Success@1"][0] == pytest.approx(2 / 3)
    assert line.chance["Success@1"] == pytest.approx(1 / 3)


def test_vectors_that_are_all_equal_earn_what_chance_does():
    same = unit(np.ones((100, 4)))
    card = pairs_card([str(i) for i in range(100)], same, same, clusters=alone(100))
    # A stable sort leaves the pairs in their own order; over all orders each rank is as likely.
    assert card[0].ranks.tolist() == list(range(1, 101))
    assert card[0].figures["RR@10"][0] == pytest.approx(card[0].chance["RR@10"])
    assert card[0].expected_rr10 == pytest.approx(card[0].chance["RR@10"])
    assert card[0].expected_r1 == pytest.approx(0.01)


def test_equal_captions_count_in_the_column_for_them():
    captions = unit(np.array([[1.0, 0], [1, 0], [0, 1]]))
    images = unit(np.array([[0.1, 1], [1, 0], [0.5, 0.6]]))
    texts = ["lung", "lung", "brain"]
    line = pairs_card(["a", "b", "c"], captions, images, clusters=alone(3), texts=texts)[0]
    assert line.ranks.tolist() == [3, 1, 2]
    assert line.multi_r1 == pytest.approx(2 / 3)
    assert line.median_rank == 2
    assert line.rsum == pytest.approx(
        100
        * sum(
            part.figures[f"Success@{k}"][0]
            for part in pairs_card(["a", "b", "c"], captions, images, clusters=alone(3))
            for k in (1, 5, 10)
        )
    )


def test_samples_are_repeated_with_their_deviation():
    rng = np.random.default_rng(1)
    images = unit(rng.standard_normal((2500, 8)))
    captions = unit(images + 0.35 * rng.standard_normal((2500, 8)))
    card = pairs_card([str(i) for i in range(2500)], captions, images, clusters=alone(2500))
    (line,) = (line for line in card if line.protocol == "pairs-2000-text-to-image")
    assert line.repeats == 20
    assert len(line.ranks) == 20 * 2000
    value, _low, high = line.figures["Success@1"]
    means = (line.ranks.reshape(20, 2000) == 1).mean(axis=1)
    assert (value, high - value) == pytest.approx((means.mean(), means.std(ddof=1)))


def test_pairs_of_one_case_are_resampled_together():
    """Cases that are found whole or not at all tell as little as one query each."""
    rng = np.random.default_rng(0)
    images = unit(rng.standard_normal((80, 64)))
    cases = np.arange(80) // 10
    captions = np.where((cases % 2 == 0)[:, None], images, -images)
    ids = [str(i) for i in range(80)]

    def width(clusters):
        line = pairs_card(ids, captions, images, clusters=clusters)[0]
        value, low, high = line.figures["Success@1"]
        assert value == pytest.approx(0.5)
        return high - low

    together = Clusters.connect([[f"case {case}"] for case in cases])
    assert width(together) > 2.5 * width(alone(80))
