"""Validation: MRR@10 of text to image over all held-out pairs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.model.clip import ClipModule
from encoders.training.frozen import text_features
from encoders.training.pairs import Pairs

__all__ = [
    "asked_once",
    "chance_mrr",
    "embed_pairs",
    "predict_concepts",
    "reciprocal_ranks",
    "text_to_image_mrr",
]

DEPTH = 10
BATCH = 256


def chance_mrr(
    labels: NDArray[np.int64], weights: NDArray[np.float64] | None = None, depth: int = DEPTH
) -> float:
    """Expected MRR of a random order where texts of the same label find each other's images.

    labels: int64 [N], -1: none; weights: as of `text_to_image_mrr`. The exact expectation over
    all orders: a text with r of N images is right first at rank k with the probability that the
    ranks before are wrong, times r / (N - k + 1). 0 for an empty pool.
    """
    pool = len(labels)
    if not pool:
        return 0.0
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    relevant = np.where(labels < 0, 1, counts[places])
    expected, missed = np.zeros(pool), np.ones(pool)
    for rank in range(1, min(depth, pool) + 1):
        hit = np.minimum(relevant / (pool - rank + 1), 1.0)
        expected += missed * hit / rank
        missed *= 1.0 - hit
    return float(np.average(expected, weights=weights))


def text_to_image_mrr(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    labels: NDArray[np.int64],
    own: bool = True,
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Mean of `reciprocal_ranks` over the texts that ask something; 0 where none does.

    weights: how much each text counts, float [N]; None: all alike.
    """
    values = reciprocal_ranks(images, texts, labels, own)
    asks = ~np.isnan(values)
    weights = np.ones(len(texts)) if weights is None else weights
    return float(np.average(values[asks], weights=weights[asks])) if asks.any() else 0.0


def reciprocal_ranks(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    labels: NDArray[np.int64],
    own: bool = True,
) -> NDArray[np.float64]:
    """RR@10 of each of the texts [N, D] over all images [N, D]; NaN for one that asks nothing.

    Relevant are the text's own image and those with the same label (int64 [N], -1: none): an
    equal caption cannot be told apart. Without `own`, the text's own image is taken out, and
    texts that share their label with no other ask nothing: the protocol same-case. Of equal
    scores the irrelevant image goes first.
    """
    values = np.full(len(texts), np.nan)
    for start in range(0, len(texts), BATCH):
        rows = np.arange(start, min(start + BATCH, len(texts)))
        scores = texts[rows] @ images.T
        same = (labels[rows, None] == labels[None]) & (labels[rows, None] >= 0)
        same[np.arange(len(rows)), rows] = own
        if not own:
            scores[np.arange(len(rows)), rows] = -np.inf
        best = np.where(same, scores, -np.inf).max(axis=1, keepdims=True)
        ranks = 1 + ((scores >= best) & ~same).sum(axis=1)
        found = np.where(ranks <= DEPTH, 1 / ranks, 0.0)
        values[rows] = np.where(same.any(axis=1), found, np.nan)
    return values


def asked_once(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights [N] with which texts of the same label (int64 [N], -1: none) count as one.

    A caption that stands on fifteen images is one question. Asked fifteen times it outweighs all
    else, and whether that one succeeds decides which epoch is best.
    """
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = np.where(labels < 0, 1.0, 1 / counts[places])
    return weights


@torch.inference_mode()
def embed_pairs(
    module: ClipModule, pairs: Pairs, features: Tensor | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of all images and of all texts, float32 [N, D] each.

    features: the texts' `text_features` [N, W], where they are known already.
    """
    device = module.logit_scale.device
    features = text_features(module, pairs.texts) if features is None else features
    images = []
    for start in range(0, len(pairs), BATCH):
        rows = np.arange(start, min(start + BATCH, len(pairs)))
        images.append(module.embed_pixels(pairs.images(rows).to(device)))
    texts = module.project_text(features.to(device))
    return torch.cat(images).float().cpu().numpy(), texts.float().cpu().numpy()


@torch.inference_mode()
def predict_concepts(module: ClipModule, head: nn.Module, pairs: Pairs) -> NDArray[np.float32]:
    """Probability of each concept for each image, float32 [N, K]."""
    device = module.logit_scale.device
    rows = np.array_split(np.arange(len(pairs)), max(1, -(-len(pairs) // BATCH)))
    logits = [head(module.image_features(pairs.images(part).to(device))) for part in rows]
    return torch.cat(logits).float().sigmoid().cpu().numpy()
