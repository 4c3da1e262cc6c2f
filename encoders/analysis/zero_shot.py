"""Classification with a CLIP: by prompts alone, from a few examples, and with a linear probe.

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
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from encoders.base.errors import UserError
from encoders.inference.dual_encoder import DualEncoder

__all__ = [
    "PROMPTS",
    "ClassificationError",
    "ClassificationScores",
    "FewShot",
    "class_vectors",
    "classification_scores",
    "few_shot",
    "linear_probe",
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
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # inverse regularisation of the linear probe
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
    texts = [prompt.format(name) for name in classes for prompt in prompts]
    vectors = encoder.encode_texts(texts).reshape(len(classes), len(prompts), -1).mean(axis=1)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def zero_shot(images: Vectors, classes: Vectors, scale: float) -> NDArray[np.float64]:
    """Probabilities [N, K]: softmax of scaled cosine similarities."""
    return _softmax(scale * (images @ classes.T).astype(np.float64))


def linear_probe(
    images: Vectors, labels: Labels, queries: Vectors, *, seed: int = 0
) -> NDArray[np.float64]:
    """Probabilities [M, K] of logistic regression on frozen vectors (CLIP, appendix A.3).

    Its regularisation is chosen on a fifth of the training examples, then all are used. A class
    without an example gets probability 0. Raises ClassificationError for fewer than two classes.
    """
    _check_classes(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    strength = 1.0
    if len(held_out) and len(np.unique(labels[rest])) > 1:
        accuracy = [
            float(_fit(images[rest], labels[rest], c).score(images[held_out], labels[held_out]))
            for c in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmax(accuracy))]
    model = _fit(images, labels, strength)
    out = np.zeros((len(queries), int(labels.max()) + 1))
    out[:, model.classes_] = model.predict_proba(queries)
    return out


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
    """

    accuracy: float
    balanced_accuracy: float
    auroc: NDArray[np.float64]


def classification_scores(
    probabilities: NDArray[np.float64], truth: Labels
) -> ClassificationScores:
    """Scores of probabilities [N, K] against the true classes [N]."""
    predicted = probabilities.argmax(axis=1)
    columns = range(probabilities.shape[1])
    return ClassificationScores(
        accuracy=float((predicted == truth).mean()),
        balanced_accuracy=_balanced_accuracy(predicted, truth),
        auroc=np.array([_auroc(probabilities[:, k], truth == k) for k in columns]),
    )


def _check_classes(labels: Labels) -> None:
    if len(np.unique(labels)) < 2:
        raise ClassificationError("Classification needs examples of at least two classes.")


def _fit(images: Vectors, labels: Labels, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        # Stopped after max_iter it is a little more regularised, which a probe may be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=1000).fit(images, labels)


def _balanced_accuracy(predicted: Labels, truth: Labels) -> float:
    return float(np.mean([(predicted[truth == k] == k).mean() for k in np.unique(truth)]))


def _auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties half (Mann and Whitney's U)."""
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(ups) or not len(downs):
        return float("nan")
    above = np.searchsorted(downs, ups, side="left") + np.searchsorted(downs, ups, side="right")
    return float(above.sum() / 2 / (len(ups) * len(downs)))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return softmax
