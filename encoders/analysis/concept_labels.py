"""Multi-label classification of concepts: zero-shot, and with a linear probe.

    found = concept_zero_shot(images, concept_vectors(encoder, names), encoder.scale)
    label_scores(found, truth, groups, threshold)

Images are vectors or features, float32 [N, D]; truth is bool [N, K], which image has which of
the K concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from encoders.analysis.zero_shot import (
    INTERVAL,
    PROMPTS,
    area_under_roc,
    class_vectors,
    folds,
    standardised,
)
from encoders.inference.dual_encoder import DualEncoder
from encoders.training.concepts import average_precision, f1_of_images

__all__ = [
    "STRENGTHS",
    "LabelScores",
    "best_threshold",
    "concept_probe",
    "concept_vectors",
    "concept_zero_shot",
    "label_scores",
    "mean_precision",
]

NEGATIVE = ("no {}.", "an image without {}.", "a medical image, {} is absent.")
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse regularisation
STEPS = 200
RESAMPLES = 500
THRESHOLDS = np.linspace(0.02, 0.98, 49)

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]
Groups = NDArray[np.int64]


def concept_vectors(
    encoder: DualEncoder, names: Sequence[str], prompts: Sequence[str] = PROMPTS
) -> tuple[Floats, Floats]:
    """Unit vectors [K, D] of texts that say a concept is there, and of texts that say it is not."""
    return class_vectors(encoder, names, prompts), class_vectors(encoder, names, NEGATIVE)


def concept_zero_shot(images: Floats, concepts: tuple[Floats, Floats], scale: float) -> Scores:
    """Probability [N, K] that a concept is there: softmax over the two vectors of each."""
    present, absent = concepts
    margin = scale * (images @ (present - absent).T).astype(np.float64)
    return np.asarray(expit(margin))


def concept_probe(
    images: Floats, truth: Truth, queries: Floats, groups: Groups, *, seed: int = 0
) -> tuple[Scores, Scores]:
    """Probabilities of the queries [M, K], and of the images by models that did not see them.

    A logistic regression for each concept, on features of mean 0 and deviation 1. One
    regularisation for all is chosen by cross-validation over whole groups, by mean average
    precision. A concept that no image has, or every one, has its share as probability.
    """
    images, queries = standardised(images, queries)
    fold = folds(groups, seed)
    unseen = np.zeros((len(STRENGTHS), *truth.shape))
    for number in np.unique(fold):
        out = fold == number
        probe = _Probe(images[~out], truth[~out])
        for index, strength in enumerate(STRENGTHS):  # each begun where the last one ended
            unseen[index, out] = probe.fit(strength).predict(images[out])
    best = int(np.argmax([mean_precision(scores, truth) for scores in unseen]))
    return _Probe(images, truth).fit(STRENGTHS[best]).predict(queries), unseen[best]


class _Probe:
    """Logistic regression for every concept, fitted together: the images are read once a step."""

    def __init__(self, images: Floats, truth: Truth) -> None:
        self._images, self._truth = images, truth.astype(np.float32)
        self._share = truth.mean(axis=0)
        self._judged = _judged(truth)
        self._weights = np.zeros((images.shape[1] + 1, len(self._judged)))  # the last: intercepts

    def fit(self, strength: float) -> _Probe:
        """Minimise half the squared weights plus `strength` x the log-loss, as scikit-learn."""
        truth, shape = self._truth[:, self._judged], self._weights.shape

        def loss(flat: Scores) -> tuple[float, Scores]:
            weights = flat.reshape(shape)
            logits = self._logits(self._images, weights)
            each = np.logaddexp(0, logits) - truth * logits
            wrong = (expit(logits) - truth).astype(np.float32)
            slope = np.vstack([self._images.T @ wrong, wrong.sum(axis=0)]).astype(np.float64)
            slope *= strength
            slope[:-1] += weights[:-1]
            value = strength * float(each.sum()) + 0.5 * float((weights[:-1] ** 2).sum())
            return value, slope.ravel()

        found = minimize(
            loss, self._weights.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
        )
        self._weights = found.x.reshape(shape)
        return self

    def predict(self, images: Floats) -> Scores:
        """Probabilities [N, K]; of a concept that all or none have, its share."""
        out = np.tile(self._share, (len(images), 1))
        out[:, self._judged] = expit(self._logits(images, self._weights))
        return out

    @staticmethod
    def _logits(images: Floats, weights: Scores) -> Scores:
        logits: Scores = (images @ weights[:-1].astype(np.float32)).astype(np.float64)
        clipped: Scores = np.clip(logits + weights[-1], -50, 50)
        return clipped


def best_threshold(scores: Scores, truth: Truth) -> float:
    """The one threshold for all concepts of best F1 on these images, which judge nothing else."""
    found = [f1_of_images(scores, truth, threshold).mean() for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(found))])


@dataclass(frozen=True)
class LabelScores:
    """Mean area under the ROC curve, mean average precision, F1; 95% intervals by group.

    Means over the concepts that some image has and some has not. F1 as ImageCLEF computes it: of
    each image, then the mean.
    """

    auroc: float
    auroc_interval: tuple[float, float]
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    f1: float
    f1_interval: tuple[float, float]
    threshold: float


def label_scores(
    scores: Scores, truth: Truth, groups: Groups, threshold: float, *, seed: int = 0
) -> LabelScores:
    """Scores of probabilities [N, K] against the truth [N, K]; intervals resample whole groups."""
    distinct, places = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(places == number) for number in range(len(distinct))]
    rng = np.random.default_rng(seed)
    draws = [
        np.concatenate([members[n] for n in rng.integers(0, len(members), len(members))])
        for _ in range(RESAMPLES)
    ]

    def measured(measure: Callable[[Scores, Truth], float]) -> tuple[float, tuple[float, float]]:
        found = [measure(scores[rows], truth[rows]) for rows in draws]
        low, high = np.nanpercentile(found, INTERVAL)
        return measure(scores, truth), (float(low), float(high))

    area, area_interval = measured(_mean_area)
    precision, precision_interval = measured(mean_precision)
    f1, f1_interval = measured(lambda s, t: float(f1_of_images(s, t, threshold).mean()))
    return LabelScores(
        area, area_interval, precision, precision_interval, f1, f1_interval, threshold
    )


def _judged(truth: Truth) -> NDArray[np.int64]:
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))


def _mean_area(scores: Scores, truth: Truth) -> float:
    areas = [area_under_roc(scores[:, k], truth[:, k]) for k in _judged(truth)]
    return float(np.mean(areas)) if areas else float("nan")


def mean_precision(scores: Scores, truth: Truth) -> float:
    """Mean average precision over the concepts that some image has and some has not."""
    found = [
        average_precision(scores[:, k].astype(np.float32), truth[:, k]) for k in _judged(truth)
    ]
    return float(np.mean(found)) if found else float("nan")
