from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from encoders.model.tokenizer import train_tokenizer
from encoders.training.similar_captions import grouped_order, near_captions

TEXTS = ["small mass, left lung", "large mass, left lung", "knee x-ray", "knee x-ray, lateral"]
WORDS = train_tokenizer(TEXTS * 3, vocabulary=400)


def test_near_captions_share_rare_words() -> None:
    near = near_captions(TEXTS, WORDS, 2)
    assert near.shape == (4, 2)
    assert near[:, 0].tolist() == [1, 0, 3, 2]


def test_never_more_neighbours_than_there_are_others() -> None:
    assert near_captions(TEXTS, WORDS, 50).shape == (4, 3)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 1000))
def test_grouping_only_rearranges(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    near = np.stack([rng.permutation(np.delete(np.arange(count), i)) for i in range(count)])
    order = rng.permutation(count)[: rng.integers(1, count + 1)]
    grouped = grouped_order(order, near[:, :10], size, rng)
    assert sorted(grouped) == sorted(order)


def test_groups_stand_together() -> None:
    near = near_captions(TEXTS, WORDS, 1)
    grouped = grouped_order(np.arange(4), near, 2, np.random.default_rng(0))
    assert {frozenset(grouped[:2]), frozenset(grouped[2:])} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }
