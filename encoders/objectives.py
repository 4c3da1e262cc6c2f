"""What a step minimises: the contrastive loss, in one go or gradient-cached; concept labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from encoders.batches import Batch
from encoders.clip import ClipModule
from encoders.concepts import asymmetric_loss
from encoders.loss import batch_accuracy, positives, symmetric_infonce

__all__ = ["concept_backward", "contrastive_backward"]


def contrastive_backward(
    module: ClipModule, pixels: Tensor, batch: Batch, micro_batch: int = 0
) -> tuple[float, float]:
    """Add the loss's gradients to the module's; return loss and accuracy of the batch.

    pixels: augmented, float [B, C, S, S]. With `micro_batch`, the towers see that many pairs at
    a time (gradient caching, Gao et al. 2021): all pairs are still each other's negatives, at
    the price of a second forward pass.
    """
    positive = positives(batch.labels)

    def embed(part: slice) -> tuple[Tensor, Tensor]:
        images = module.embed_pixels(pixels[part])
        texts = module.embed_ids(batch.input_ids[part], batch.attention_mask[part])
        return images.float(), texts.float()

    if not 0 < micro_batch < len(pixels):
        images, texts = embed(slice(None))
        loss = symmetric_infonce(images, texts, module.scale, positive)
        loss.backward()  # type: ignore[no-untyped-call]
        images, texts = images.detach(), texts.detach()
    else:
        parts = [slice(i, i + micro_batch) for i in range(0, len(pixels), micro_batch)]
        images, texts, loss = _cached(embed, parts, module.scale, positive)
    return float(loss.detach()), batch_accuracy(images, texts, positive)


def concept_backward(
    module: ClipModule, head: nn.Module, pixels: Tensor, targets: Tensor
) -> tuple[float, float]:
    """The same for naming concepts: `head` maps [B, D] to logits of targets [B, K].

    The accuracy is the share of images whose likeliest concept is one of theirs.
    """
    logits = head(module.image_features(pixels)).float()
    loss = asymmetric_loss(logits, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    likeliest = logits.detach().argmax(dim=1, keepdim=True)
    return float(loss.detach()), float(targets.gather(1, likeliest).mean())


def _cached(
    embed: Callable[[slice], tuple[Tensor, Tensor]],
    parts: list[slice],
    scale: Tensor,
    positive: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        columns = zip(*map(embed, parts), strict=True)
        images, texts = (torch.cat(column).requires_grad_() for column in columns)
    loss = symmetric_infonce(images, texts, scale, positive)
    loss.backward()  # type: ignore[no-untyped-call]
    for part in parts:
        for vectors, whole in zip(embed(part), (images, texts), strict=True):
            if vectors.requires_grad and whole.grad is not None:  # not of a frozen tower
                torch.autograd.backward(vectors, whole.grad[part])
    return images.detach(), texts.detach(), loss
