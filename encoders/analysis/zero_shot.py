"""Classification with a CLIP: zero-shot, few-shot, and with a linear probe.

    classes = {"ct": "computed tomography", "mri": "magnetic resonance imaging"}
    vectors = class_vectors(encoder, tuple(classes.values()))
    scores = classification_scores(zero_shot(images, vectors, encoder.scale), labels)

Everything works on vectors, float32 [N, D], so images are encoded once. Labels are int64 [N],
the numbers of the K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from encoders.base.errors import UserError
from encoders.inference.dual_encoder import DualEncoder

__all__ = [
    "FOLDS",
    "INTERVAL",
    "PROMPTS",
    "ClassificationError",
    "ClassificationScores",
    "FewShot",
    "area_under_roc",
    "class_vectors",
    "classification_scores",
    "few_shot",
    "fit_quietly",
    "folds",
    "linear_probe",
    "standardised",
    "zero_shot",
]

PROMPTS = (
    "{}.",
    "{} image.",
    "an image of {}.",
    "a medical image, {}.",
    "a radiology image showing {}.",
    "{} of a patient.",
)
# Inverse regularisation of the linear probe.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5)
FOLDS = 5
RESAMPLES = 1000  # of the intervals
INTERVAL = (2.5, 97.5)  # percent

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


class ClassificationError(UserError):
    """There are too few classes or examples to classify with."""


def class_vectors(
    encoder: DualEncoder, classes: Sequence[str], prompts: Sequence[str] = PROMPTS
) -> Vectors:
    """Unit vectors [K, D]: for each class the mean of its prompts' (CLIP, section 3.1.4).

    Each prompt has one {} for the name of the class.
    """
    texts = [prompt.replace("{}", name) for name in classes for prompt in prompts]
    vectors = encoder.encode_texts(texts).reshape(len(classes), len(prompts), -1).mean(axis=1)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def zero_shot(images: Vectors, classes: Vectors, scale: float) -> NDArray[np.float64]:
    """Probabilities [N, K]: softmax of scaled cosine similarities."""
    return np.asarray(softmax(scale * (images @ classes.T).astype(np.float64), axis=1))


def linear_probe(
    images: Vectors,
    labels: Labels,
    queries: Vectors,
    *,
    groups: Labels | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Probabilities [M, K] of logistic regression on frozen features (CLIP, appendix A.3).

    Features are brought to mean 0 and deviation 1. Regularisation is chosen by cross-validation:
    the folds are of whole groups (int64 [N], cases or articles), because images of one case are
    alike; then all examples are used. A class without an example gets probability 0.
    Raises ClassificationError for fewer than two classes.
    """
    _check_classes(labels)
    images, queries = standardised(images, queries)
    groups = np.arange(len(labels)) if groups is None else groups
    strength = _strength(images, labels, groups, seed)
    model = _fit(images, labels, strength)
    out = np.zeros((len(queries), int(labels.max()) + 1))
    out[:, model.classes_] = model.predict_proba(queries)
    return out


def standardised(images: Vectors, queries: Vectors) -> tuple[Vectors, Vectors]:
    """Both with the images' features at mean 0 and deviation 1."""
    mean, deviation = images.mean(axis=0), images.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    return (images - mean) / deviation, (queries - mean) / deviation


def folds(groups: Labels, seed: int) -> Labels:
    """The fold of each image for cross-validation, int64 [N]; a group is in one fold."""
    distinct, places = np.unique(groups, return_inverse=True)
    return np.asarray(np.random.default_rng(seed).permutation(len(distinct))[places] % FOLDS)


def _strength(images: Vectors, labels: Labels, groups: Labels, seed: int) -> float:
    """The inverse regularisation of best balanced accuracy over folds of whole groups."""
    fold = folds(groups, seed)
    found = np.zeros(len(STRENGTHS))
    for number in range(FOLDS):
        held_out = fold == number
        if not held_out.any() or len(np.unique(labels[~held_out])) < 2:
            continue
        # From much regularisation to little, each begun where the last one ended.
        model = LogisticRegression(max_iter=200, warm_start=True)
        for index, strength in enumerate(STRENGTHS):
            fit_quietly(model.set_params(C=strength), images[~held_out], labels[~held_out])
            predicted = model.predict(images[held_out])
            found[index] += _balanced_accuracy(predicted, labels[held_out])
    return STRENGTHS[int(np.argmax(found))]


@dataclass(frozen=True)
class FewShot:
    """Accuracy with `shots` examples of each class: mean over trials, and where 95% of them lie."""

    shots: int
    trials: int
    accuracy: float
    low: float
    high: float


def few_shot(
    images: Vectors,
    labels: Labels,
    queries: Vectors,
    truth: Labels,
    *,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    trials: int = 20,
    seed: int = 0,
) -> list[FewShot]:
    """Logistic regression on k random examples of each class, repeated with other examples.

    A number of shots that some class does not have is left out. Balanced accuracy is reported:
    the mean over classes.
    """
    _check_classes(labels)
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    out = []
    for count in shots:
        if count > min(map(len, rows)):
            continue
        rng = np.random.default_rng([seed, count])
        found = []
        for _ in range(trials):
            chosen = np.concatenate([rng.choice(r, count, replace=False) for r in rows])
            predicted = _fit(images[chosen], labels[chosen], 10.0).predict(queries)
            found.append(_balanced_accuracy(predicted, truth))
        low, high = np.percentile(found, INTERVAL)
        out.append(FewShot(count, trials, float(np.mean(found)), float(low), float(high)))
    return out


@dataclass(frozen=True)
class ClassificationScores:
    """Accuracy, its mean over classes, and one area under the ROC curve for each class.

    auroc: float64 [K], class against rest; nan for a class without a positive or a negative.
    interval: 95% of the balanced accuracy, over groups resampled with replacement.
    """

    accuracy: float
    balanced_accuracy: float
    auroc: NDArray[np.float64]
    interval: tuple[float, float]


def classification_scores(
    probabilities: NDArray[np.float64],
    truth: Labels,
    groups: Labels | None = None,
    *,
    seed: int = 0,
) -> ClassificationScores:
    """Scores of probabilities [N, K] against the true classes [N].

    groups: int64 [N], the case or article of each image, which the interval keeps together;
    None: each image is one of its own.
    """
    predicted = probabilities.argmax(axis=1)
    columns = range(probabilities.shape[1])
    groups = np.arange(len(truth)) if groups is None else groups
    return ClassificationScores(
        accuracy=float((predicted == truth).mean()),
        balanced_accuracy=_balanced_accuracy(predicted, truth),
        interval=_interval(predicted == truth, truth, groups, seed),
        auroc=np.array([area_under_roc(probabilities[:, k], truth == k) for k in columns]),
    )


def _check_classes(labels: Labels) -> None:
    if len(np.unique(labels)) < 2:
        raise ClassificationError("Classification needs examples of at least two classes.")


def _fit(images: Vectors, labels: Labels, strength: float) -> LogisticRegression:
    return fit_quietly(LogisticRegression(C=strength, max_iter=1000), images, labels)


def fit_quietly(
    model: LogisticRegression, images: Vectors, labels: Labels | NDArray[np.bool_]
) -> LogisticRegression:
    """Fit a model; that it stopped before it converged is no news."""
    # Products this small cost several threads more in waiting than they save.
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        # Stopped after max_iter it is a little more regularised, which a probe may be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(images, labels)


def _interval(
    right: NDArray[np.bool_], truth: Labels, groups: Labels, seed: int
) -> tuple[float, float]:
    """Where 95% of the balanced accuracies lie over resamples of whole groups."""
    _, places = np.unique(groups, return_inverse=True)
    classes = int(truth.max()) + 1
    count, hits = (np.zeros((places.max() + 1, classes)) for _ in range(2))
    np.add.at(count, (places, truth), 1)
    np.add.at(hits, (places, truth), right)
    drawn = np.random.default_rng(seed).integers(0, len(count), (RESAMPLES, len(count)))
    seen, found = count[drawn].sum(axis=1), hits[drawn].sum(axis=1)  # [RESAMPLES, K]
    with np.errstate(invalid="ignore"):
        scores = np.nanmean(np.where(seen > 0, found / seen, np.nan), axis=1)
    low, high = np.percentile(scores, INTERVAL)
    return float(low), float(high)


def _balanced_accuracy(predicted: Labels, truth: Labels) -> float:
    return float(np.mean([(predicted[truth == k] == k).mean() for k in np.unique(truth)]))


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties half (Mann and Whitney's U)."""
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(ups) or not len(downs):
        return float("nan")
    above = np.searchsorted(downs, ups, side="left") + np.searchsorted(downs, ups, side="right")
    return float(above.sum() / 2 / (len(ups) * len(downs)))
