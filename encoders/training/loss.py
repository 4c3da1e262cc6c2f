"""Symmetric InfoNCE with several positives, of vectors or of parts, and SigLIP's loss.

CLIP (Radford et al. 2021, figure 3) takes every other pair of the batch for a negative. Radiology
captions repeat ("Chest x-ray."), and images of one case belong together, so some of these
negatives are false. Here the target of a row is spread evenly over its positives, as in UniCL
(Yang et al. 2022, equations 3-5): with one positive a row it is CLIP's loss exactly. Masking the
other positives instead would merely ignore them; spreading also pulls them together, which is
what retrieval of the same case asks for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["batch_accuracy", "late_interaction", "positives", "sigmoid_loss", "symmetric_infonce"]

ROWS = 16  # images that late interaction compares at a time: memory


def positives(labels: Tensor) -> Tensor:
    """Bool [B, B]: pairs that share a label in any column of int64 [B, L]; -1 is no label.

    The diagonal is always true.
    """
    shared = (labels[:, None] == labels[None]) & (labels >= 0)[:, None]  # [B, B, L]
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return shared.any(dim=-1) | own


def symmetric_infonce(images: Tensor, texts: Tensor, scale: Tensor, positive: Tensor) -> Tensor:
    """Mean over both directions of the cross-entropy against evenly spread targets, in nats.

    images, texts: unit vectors [B, D]. scale: 1 / temperature. positive: bool [B, B], symmetric.
    At least the mean entropy of the targets, which is 0 where every row has one positive.
    """
    logits = scale * images @ texts.T  # [B images, B texts]
    return _both_ways(logits, logits, positive)


def late_interaction(cells: Tensor, tokens: Tensor, scale: Tensor, positive: Tensor) -> Tensor:
    """The same of FILIP's similarities (Yao et al. 2021, equations 4 and 5).

    cells: unit vectors [B, P, D]. tokens: unit vectors [B, T, D], 0 where a text has no more.
    An image asks with the mean over its cells of each cell's best token, a text with the mean over
    its tokens of each token's best cell, which is MaxSim divided by the tokens.
    """
    there = tokens.detach().abs().sum(dim=2) > 0  # [B, T]
    to_texts, to_images = [], []
    for part in torch.split(cells, ROWS):
        each = torch.einsum("ipd,jtd->ijpt", part, tokens)
        told = each.max(dim=2).values * there  # [b, B, T]
        to_images.append(told.sum(dim=2) / there.sum(dim=1).clamp(min=1))
        seen = each.masked_fill(~there[:, None], -2.0)  # below every cosine
        to_texts.append(seen.max(dim=3).values.mean(dim=2))
    return _both_ways(scale * torch.cat(to_texts), scale * torch.cat(to_images), positive)


def _both_ways(of_images: Tensor, of_texts: Tensor, positive: Tensor) -> Tensor:
    """Logits [B images, B texts] that images and that texts ask with."""
    targets = positive.to(of_images.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    to_texts = -(targets * of_images.log_softmax(dim=1)).sum(dim=1)
    to_images = -(targets * of_texts.T.log_softmax(dim=1)).sum(dim=1)
    return (to_texts.mean() + to_images.mean()) / 2


def sigmoid_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor, positive: Tensor
) -> Tensor:
    """SigLIP's loss in nats: each pair of the batch is a question of its own (Zhai et al. 2023).

    Sum over all pairs, divided by B (algorithm 1 there). Shapes as of `symmetric_infonce`.
    """
    logits = scale * images @ texts.T + bias
    signs = torch.where(positive, 1.0, -1.0)
    return -F.logsigmoid(signs * logits).sum() / len(images)


@torch.no_grad()
def batch_accuracy(images: Tensor, texts: Tensor, positive: Tensor) -> float:
    """Share of the texts whose nearest image of the batch is a positive."""
    nearest = (texts @ images.T).argmax(dim=1, keepdim=True)
    return float(positive.gather(1, nearest).float().mean())
