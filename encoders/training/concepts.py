"""Concepts as extra supervision: labels for pretraining, and balanced sampling.

Concepts are names ("magnetic resonance imaging"), K of them, in sorted order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Balance",
    "ConceptScores",
    "asymmetric_loss",
    "average_precision",
    "balance",
    "balanced_weights",
    "concept_scores",
    "f1_of_images",
    "focal_loss",
    "multi_hot",
    "vocabulary",
]

Concepts = Sequence[Sequence[str]]


def vocabulary(concepts: Concepts, at_least: int = 1) -> tuple[str, ...]:
    """Names that `at_least` pairs have, sorted."""
    counts = Counter(name for names in concepts for name in set(names))
    return tuple(sorted(name for name, count in counts.items() if count >= at_least))


def multi_hot(concepts: Concepts, names: Sequence[str]) -> NDArray[np.bool_]:
    """Bool [N, K]: which pair has which of the names; others are ignored."""
    column = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(concepts), len(names)), dtype=np.bool_)
    for row, present in enumerate(concepts):
        table[row, [column[name] for name in present if name in column]] = True
    return table


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    focus_positive: float = 0.0,
    focus_negative: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """Sum over concepts, mean over images, of the asymmetric loss of logits [B, K], in nats.

    Ridnik et al. 2021, equations 4-7: easy negatives, nearly all of them where labels are rare,
    are weighted down by a power of their probability and dropped below `margin`. With all three
    settings 0 it is binary cross-entropy; with equal powers and no margin, focal loss.
    """
    positive = logits.sigmoid()
    negative = (positive - margin).clamp(min=0)
    present = targets * (1 - positive) ** focus_positive * torch.log(positive.clamp(min=1e-8))
    absent = (1 - targets) * negative**focus_negative * torch.log((1 - negative).clamp(min=1e-8))
    return -(present + absent).sum(dim=1).mean()


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The focal loss (Lin et al. 2017, equation 4, gamma 2): `asymmetric_loss` made symmetric."""
    return asymmetric_loss(logits, targets, focus_positive=2.0, focus_negative=2.0, margin=0.0)


@dataclass(frozen=True)
class ConceptScores:
    """Mean average precision over concepts, and F1 averaged over images as ImageCLEF does."""

    mean_average_precision: float
    f1: float


def concept_scores(
    scores: NDArray[np.float32], targets: NDArray[np.bool_], threshold: float = 0.5
) -> ConceptScores:
    """Scores in 0..1 and truth, [N, K] each; a concept without a positive has no precision."""
    held = np.flatnonzero(targets.any(axis=0))
    precisions = [average_precision(scores[:, k], targets[:, k]) for k in held]
    f1 = f1_of_images(scores, targets, threshold)
    return ConceptScores(
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        f1=float(f1.mean()) if len(f1) else 0.0,
    )


def f1_of_images(
    scores: NDArray[np.floating], targets: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    """F1 of each image [N], of scores and truth [N, K]; their mean is ImageCLEF's F1 (since 2017).

    An image without concepts has 1 where none is predicted, else 0.
    """
    predicted = scores >= threshold
    hits = (predicted & targets).sum(axis=1)
    sizes = predicted.sum(axis=1) + targets.sum(axis=1)
    return np.where(sizes > 0, 2 * hits / np.maximum(sizes, 1), 1.0)


def average_precision(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> float:
    """Mean precision at the relevant ranks; equal scores count as one step, as in scikit-learn."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(relevant[order])
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    recall_steps = np.diff(hits[ends], prepend=0) / max(1, hits[-1])
    return float((recall_steps * hits[ends] / (ends + 1)).sum())


def balanced_weights(concepts: Concepts, cap: int) -> NDArray[np.float64]:
    """Probability [N] of keeping each pair so that no concept has many more than `cap` pairs.

    MetaCLIP (Xu et al. 2024, algorithm 1): a concept with more than `cap` pairs keeps each of
    them with probability cap / count, and a pair stays if any of its concepts keeps it. Other
    than there, pairs without a concept are kept.
    """
    counts = Counter(name for names in concepts for name in set(names))
    keep = {name: min(1.0, cap / count) for name, count in counts.items()}
    dropped = [np.prod([1 - keep[name] for name in set(names)]) for names in concepts]
    weights = 1 - np.asarray(dropped, dtype=np.float64)
    weights[[not names for names in concepts]] = 1.0
    return weights


@dataclass(frozen=True)
class Balance:
    """Pairs an epoch, and pairs of each concept, before and after balancing; commonest first."""

    pairs: int
    kept: float
    concepts: Mapping[str, tuple[int, float]]

    def sentence(self) -> str:
        """The three commonest concepts, for a person."""
        shown = list(self.concepts.items())[:3]
        told = [f"{name} {before:,} to {after:,.0f}" for name, (before, after) in shown]
        return f"pairs {self.pairs:,} to {self.kept:,.0f}; " + ", ".join(told)


def balance(concepts: Concepts, cap: int) -> Balance:
    """What `balanced_weights` does to an epoch, in expected counts."""
    weights = balanced_weights(concepts, cap)
    names = vocabulary(concepts)
    table = multi_hot(concepts, names)
    before, after = table.sum(axis=0), weights @ table
    order = np.argsort(-before, kind="stable")
    return Balance(
        pairs=len(concepts),
        kept=float(weights.sum()),
        concepts={names[n]: (int(before[n]), round(float(after[n]), 1)) for n in order},
    )
