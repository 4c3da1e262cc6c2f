"""Several concepts for each image: scores as scikit-learn has them, intervals by group."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from encoders.analysis.concept_labels import (
    STRENGTHS,
    best_threshold,
    concept_probe,
    concept_vectors,
    concept_zero_shot,
    label_scores,
)
from encoders.model.clip import Encoder


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features in which three of four concepts can be seen."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, 4)) < 0.3
    seen = np.hstack([truth[:, :3] * 2.0 - 1, np.zeros((count, 9))])
    return (seen + rng.normal(scale=0.5, size=(count, 12))).astype(np.float32), truth


def test_scores_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random((80, 5)) < 0.3, rng.random((80, 5))
    truth[:, 4] = False  # judged by nobody
    found = label_scores(scores, truth, np.arange(80), 0.5)
    assert found.auroc == pytest.approx(roc_auc_score(truth[:, :4], scores[:, :4]))
    expected = average_precision_score(truth[:, :4], scores[:, :4].astype(np.float32))
    assert found.mean_average_precision == pytest.approx(expected)
    f1 = f1_score(truth, scores >= 0.5, average="samples", zero_division=1)
    assert found.f1 == pytest.approx(f1)
    assert found.f1_interval[0] < found.f1 < found.f1_interval[1]


def test_intervals_keep_groups_together() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random((30, 3)) < 0.4, rng.random((30, 3))
    alone = label_scores(scores, truth, np.arange(30), 0.5)
    often = [np.repeat(each, 10, axis=0) for each in (scores, truth, np.arange(30))]
    together = label_scores(*often, 0.5)
    np.testing.assert_allclose(together.f1_interval, alone.f1_interval, atol=1e-9)


def test_a_probe_names_what_can_be_seen() -> None:
    images, truth = drawn(200, 0)
    queries, expected = drawn(200, 1)
    found, unseen = concept_probe(images, truth, queries, np.arange(200) // 2)
    areas = [roc_auc_score(expected[:, k], found[:, k]) for k in range(4)]
    assert min(areas[:3]) > 0.9
    assert areas[3] < 0.65
    threshold = best_threshold(unseen, truth)
    f1 = label_scores(found, expected, np.arange(200), threshold).f1
    assert f1 > label_scores(found, expected, np.arange(200), 0.98).f1


def test_concepts_fitted_together_are_what_each_would_be_alone() -> None:
    images, truth = drawn(150, 0)
    queries, _ = drawn(60, 1)
    truth[:, 3] = True  # every image has it: its share is its probability
    found, _ = concept_probe(images, truth, queries, np.arange(150))
    unit, asked = ((x - images.mean(axis=0)) / images.std(axis=0) for x in (images, queries))
    closest = np.inf
    for strength in STRENGTHS:
        alone = [
            LogisticRegression(C=strength, max_iter=1000).fit(unit, truth[:, k]) for k in range(3)
        ]
        expected = np.stack([model.predict_proba(asked)[:, 1] for model in alone], axis=1)
        closest = min(closest, float(np.abs(found[:, :3] - expected).max()))
    assert closest < 5e-3
    assert (found[:, 3] == 1).all()


def test_zero_shot_weighs_presence_against_absence(small_encoder: Encoder) -> None:
    present, absent = concept_vectors(small_encoder, ("nodule", "fracture"))
    images = np.stack([present[0], absent[0]])
    found = concept_zero_shot(images, (present, absent), 10.0)
    assert found.shape == (2, 2)
    assert found[0, 0] > 0.5 > found[1, 0]
