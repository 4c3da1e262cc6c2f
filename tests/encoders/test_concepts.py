from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.metrics import average_precision_score
from torch.nn import functional as F  # noqa: N812

from encoders.training.concepts import (
    asymmetric_loss,
    average_precision,
    balance,
    balanced_weights,
    concept_scores,
    multi_hot,
    vocabulary,
)

CONCEPTS = [("ct", "chest"), ("ct",), (), ("mri", "chest"), ("ct", "ct")]


def test_vocabulary_counts_a_concept_once_a_pair() -> None:
    assert vocabulary(CONCEPTS) == ("chest", "ct", "mri")
    assert vocabulary(CONCEPTS, at_least=3) == ("ct",)


def test_multi_hot_ignores_other_names() -> None:
    table = multi_hot(CONCEPTS, ("ct", "mri"))
    assert table.tolist() == [[1, 0], [1, 0], [0, 0], [0, 1], [1, 0]]


def test_without_its_settings_the_loss_is_binary_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator)
    targets = (torch.rand(7, 5, generator=generator) < 0.3).float()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
    torch.testing.assert_close(asymmetric_loss(logits, targets, 0, 0, 0), expected)


def test_easy_negatives_cost_nothing() -> None:
    easy = torch.full((1, 1), -4.0)  # probability .018, below the margin
    absent = torch.zeros(1, 1)
    assert float(asymmetric_loss(easy, absent)) == 0
    assert float(asymmetric_loss(-easy, absent)) > 1


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_average_precision_is_scikit_learns(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, size).astype(np.float32)
    relevant = rng.random(size) < 0.4
    relevant[rng.integers(size)] = True
    expected = average_precision_score(relevant, scores)
    assert average_precision(scores, relevant) == pytest.approx(expected)


def test_f1_is_averaged_over_images_as_imageclef_does() -> None:
    truth = multi_hot([("a", "b"), ("a",), ()], ("a", "b"))
    scores = np.array([[0.9, 0.1], [0.9, 0.8], [0.2, 0.1]], dtype=np.float32)
    found = concept_scores(scores, truth)
    assert found.f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.mean_average_precision == pytest.approx((1 + 1 / 3) / 2)


def test_balancing_keeps_rare_concepts_and_caps_frequent_ones() -> None:
    concepts = [("common",)] * 90 + [("common", "rare")] * 5 + [()] * 5
    weights = balanced_weights(concepts, cap=10)
    np.testing.assert_allclose(weights[:90], 10 / 95)
    np.testing.assert_allclose(weights[90:], 1)
    assert balanced_weights(concepts, cap=1000).min() == 1
    told = balance(concepts, cap=10)
    assert told.pairs == 100
    assert told.kept == pytest.approx(90 * 10 / 95 + 10)
    assert told.concepts == {"common": (95, round(90 * 10 / 95 + 5, 1)), "rare": (5, 5.0)}
    assert told.sentence() == "pairs 100 to 19; common 95 to 14, rare 5 to 5"
