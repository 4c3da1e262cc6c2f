from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from encoders.analysis.zero_shot import (
    ClassificationError,
    class_vectors,
    classification_scores,
    few_shot,
    linear_probe,
    zero_shot,
)
from encoders.model.clip import Encoder


def clouds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three noisy directions in eight dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    vectors = np.eye(8)[labels] + rng.normal(scale=0.6, size=(count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_other_braces_of_a_prompt_are_text(small_encoder: Encoder) -> None:
    whole = class_vectors(small_encoder, ("ct",), ("{} {0} {a.b}",))
    np.testing.assert_array_equal(whole, class_vectors(small_encoder, ("ct {0} {a.b}",), ("{}",)))


def test_class_vectors_are_unit_means_of_prompts(small_encoder: Encoder) -> None:
    vectors = class_vectors(small_encoder, ("ct", "mri"), ("{}.", "a {} image."))
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    mean = small_encoder.encode_texts(["ct.", "a ct image."]).mean(axis=0)
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_zero_shot_prefers_the_nearest_class() -> None:
    images, labels = clouds(90, 0)
    probabilities = zero_shot(images, np.eye(8, dtype=np.float32)[:3], 10.0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert classification_scores(probabilities, labels).accuracy > 0.8


def test_scores_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    probabilities = rng.random((60, 3)).round(1)
    scores = classification_scores(probabilities, truth)
    predicted = probabilities.argmax(axis=1)
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted))
    expected = [roc_auc_score(truth == k, probabilities[:, k]) for k in range(3)]
    np.testing.assert_allclose(scores.auroc, expected)


def test_an_absent_class_has_no_auroc() -> None:
    scores = classification_scores(np.eye(3)[[0, 1, 0]], np.array([0, 1, 0]))
    assert np.isnan(scores.auroc[2])


def test_a_linear_probe_learns_and_knows_no_absent_class() -> None:
    images, labels = clouds(90, 0)
    queries, truth = clouds(60, 1)
    probabilities = linear_probe(images, labels + (labels == 2), queries)  # classes 0, 1 and 3
    assert probabilities.shape == (60, 4)
    assert (probabilities[:, 2] == 0).all()
    assert (probabilities.argmax(axis=1) == truth + (truth == 2)).mean() > 0.8


def test_more_shots_are_better_and_too_many_are_left_out() -> None:
    images, labels = clouds(60, 0)
    queries, truth = clouds(60, 1)
    found = few_shot(images, labels, queries, truth, shots=(1, 8, 50), trials=8)
    assert [result.shots for result in found] == [1, 8]
    assert found[1].accuracy > found[0].accuracy
    for result in found:
        assert result.low <= result.accuracy <= result.high


def test_one_class_is_no_classification() -> None:
    images, labels = clouds(9, 0)
    with pytest.raises(ClassificationError, match="two classes"):
        linear_probe(images, labels * 0, images)


def test_the_interval_keeps_groups_together():
    """Each image ten times over in one group: no more is known than of each once."""
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    probabilities = np.eye(2)[np.where(rng.random(40) < 0.7, truth, 1 - truth)]
    alone = classification_scores(probabilities, truth).interval
    often = [np.repeat(each, 10, axis=0) for each in (probabilities, truth, np.arange(40))]
    together = classification_scores(*often).interval
    np.testing.assert_allclose(together, alone, atol=1e-9)
    apart = classification_scores(*often[:2]).interval
    assert apart[1] - apart[0] < 0.5 * (alone[1] - alone[0])


def test_the_probes_folds_are_of_whole_groups():
    """Labels that only their group tells: folds by image would prefer no regularisation."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    labels = rng.integers(0, 2, 60)[groups]
    own = rng.normal(size=(60, 80))[groups]  # tells the group, and nothing of its label
    told = labels[:, None] * 2.0 - 1 + rng.normal(scale=3, size=(600, 4))
    images = np.hstack([own, told]).astype(np.float32)
    queries = np.hstack([rng.normal(size=(600, 80)), told]).astype(np.float32)

    def accuracy(groups: np.ndarray | None) -> float:
        found = linear_probe(images, labels, queries, groups=groups)
        return float((found.argmax(axis=1) == labels).mean())

    assert accuracy(groups) > accuracy(None)
