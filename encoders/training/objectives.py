"""The objective of a step: contrastive loss, gradient caching, concept labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from encoders.model.clip import ClipModule
from encoders.training.batches import Batch
from encoders.training.concepts import asymmetric_loss, focal_loss
from encoders.training.distributed import Team
from encoders.training.loss import batch_accuracy, positives, sigmoid_loss, symmetric_infonce

__all__ = ["concept_backward", "contrastive_backward", "share_gradients"]


def contrastive_backward(
    module: ClipModule,
    images: Tensor,
    batch: Batch,
    team: Team,
    micro_batch: int = 0,
    seed: int = 0,
    bias: Tensor | None = None,
) -> tuple[float, float]:
    """Add the loss's gradients to the module's; return loss and accuracy of the whole batch.

    images: this process's part of the batch, augmented pixels float [b, C, S, S] or a frozen
    tower's features [b, W]. seed: of what dropout leaves out. bias: of the sigmoid loss, which
    is taken instead of InfoNCE. With `micro_batch`,
    the towers see that many pairs at a time (gradient caching, Gao et al. 2021): all pairs are
    still each other's negatives, at the price of a second forward pass. With several processes
    the same split is made between them: each embeds its part, all see all vectors, and each
    carries the gradient of its own vectors into the towers. `share_gradients` then adds them up.
    """

    def embed(part: slice) -> tuple[Tensor, Tensor]:
        # A part that is embedded twice must lose the same features both times.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + (part.start or 0))
            seen = module.embed_pixels(images[part])
            return seen.float(), embed_texts(module, batch, part).float()

    positive, heads = positives(batch.labels), module.config.heads

    def one(seen: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        if bias is None:
            return symmetric_infonce(seen, texts, scale, positive)
        shared = bias / team.size + bias.detach() * (1 - 1 / team.size)
        return sigmoid_loss(seen, texts, scale, shared, positive)

    def objective(seen: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        """Mean of the heads' losses: each learns as if it were alone."""
        split = (vectors.chunk(heads, dim=1) for vectors in (seen, texts))
        long = heads**0.5  # of unit length again
        losses = [one(a * long, b * long, scale) for a, b in zip(*split, strict=True)]
        return torch.stack(losses).mean()

    if team.size == 1 and not 0 < micro_batch < len(images):
        seen, texts = embed(slice(None))
        loss = objective(seen, texts, module.scale)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), batch_accuracy(seen.detach(), texts.detach(), positive)
    size = micro_batch or len(images)
    parts = [slice(i, i + size) for i in range(0, len(images), size)]
    return _cached(embed, parts, module.scale, positive, objective, team)


def embed_texts(module: ClipModule, batch: Batch, part: slice) -> Tensor:
    """Unit vectors [b, D] of a part of the batch's texts; a frozen tower's were read before."""
    if batch.text_features is not None:
        return module.project_text(batch.text_features[part])
    return module.embed_ids(batch.input_ids[part], batch.attention_mask[part])


def concept_backward(
    module: ClipModule,
    head: nn.Module,
    images: Tensor,
    targets: Tensor,
    team: Team,
    kind: Literal["asymmetric", "focal"] = "asymmetric",
) -> tuple[float, float]:
    """The same for naming concepts: `head` maps [b, D] to logits of targets [b, K].

    The accuracy is the share of images whose likeliest concept is one of theirs.
    """
    logits = head(module.image_features(images)).float()
    loss = asymmetric_loss(logits, targets) if kind == "asymmetric" else focal_loss(logits, targets)
    (loss / team.size).backward()  # type: ignore[no-untyped-call]
    likeliest = logits.detach().argmax(dim=1, keepdim=True)
    found = torch.stack([loss.detach(), targets.gather(1, likeliest).mean()])
    loss_and_accuracy = team.gather(found[None]).mean(dim=0)
    return float(loss_and_accuracy[0]), float(loss_and_accuracy[1])


def share_gradients(trainee: nn.Module, team: Team) -> None:
    """Add up the processes' gradients: then all take the same step."""
    team.add_up(p.grad for p in trainee.parameters() if p.grad is not None)


def _cached(
    embed: Callable[[slice], tuple[Tensor, Tensor]],
    parts: list[slice],
    scale: Tensor,
    positive: Tensor,
    objective: Callable[[Tensor, Tensor, Tensor], Tensor],
    team: Team,
) -> tuple[float, float]:
    alone = len(parts) == 1
    with torch.set_grad_enabled(alone):  # a single part need not be embedded again
        embedded = [embed(part) for part in parts]
    local = (torch.cat(column).detach() for column in zip(*embedded, strict=True))
    images, texts = (team.gather(column).requires_grad_() for column in local)
    # Every process has the temperature's whole gradient, and of the towers' only its part.
    scale = scale / team.size + scale.detach() * (1 - 1 / team.size)
    loss = objective(images, texts, scale)
    loss.backward()  # type: ignore[no-untyped-call]
    mine = team.share(len(images))
    for part in parts:
        vectors = embedded[0] if alone else embed(part)
        for vector, whole in zip(vectors, (images, texts), strict=True):
            if vector.requires_grad and whole.grad is not None:  # not of a frozen tower
                torch.autograd.backward(vector, whole.grad[mine][part])
    return float(loss.detach()), batch_accuracy(images.detach(), texts.detach(), positive)
