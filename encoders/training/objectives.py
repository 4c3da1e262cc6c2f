"""The objective of a step: contrastive loss, gradient caching, concept labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.model.clip import ClipModule
from encoders.training.batches import Batch
from encoders.training.concepts import asymmetric_loss, focal_loss
from encoders.training.distributed import Team
from encoders.training.loss import (
    batch_accuracy,
    late_interaction,
    positives,
    sigmoid_loss,
    symmetric_infonce,
)

__all__ = ["concept_backward", "contrastive_backward", "share_gradients"]


def contrastive_backward(
    module: ClipModule,
    images: Tensor,
    batch: Batch,
    team: Team,
    micro_batch: int = 0,
    seed: int = 0,
    bias: Tensor | None = None,
    late: float = 0.0,
) -> tuple[float, float]:
    """Add the loss's gradients to the module's; return loss and accuracy of the whole batch.

    images: this process's part of the batch, augmented pixels float [b, C, S, S] or a frozen
    tower's features [b, W]. seed: of what dropout leaves out. bias: of the sigmoid loss, which
    is taken instead of InfoNCE. late: weight of late interaction between the images' cells and the
    texts' tokens, which is added. With `micro_batch`,
    the towers see that many pairs at a time (gradient caching, Gao et al. 2021): all pairs are
    still each other's negatives, at the price of a second forward pass. With several processes
    the same split is made between them: each embeds its part, all see all vectors, and each
    carries the gradient of its own vectors into the towers. `share_gradients` then adds them up.
    """

    def embed(part: slice) -> tuple[Tensor, ...]:
        # A part that is embedded twice must lose the same features both times.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + (part.start or 0))
            if late:
                return _views(module, images[part], batch, part, team)
            seen = module.embed_pixels(images[part])
            return seen.float(), embed_texts(module, batch, part).float()

    positive, heads = positives(batch.labels), module.config.heads

    def one(seen: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        if bias is None:
            return symmetric_infonce(seen, texts, scale, positive)
        shared = bias / team.size + bias.detach() * (1 - 1 / team.size)
        return sigmoid_loss(seen, texts, scale, shared, positive)

    def objective(vectors: Sequence[Tensor], scale: Tensor) -> Tensor:
        """Mean of the heads' losses: each learns as if it were alone."""
        seen, texts = vectors[:2]
        split = (each.chunk(heads, dim=1) for each in (seen, texts))
        long = heads**0.5  # of unit length again
        losses = [one(a * long, b * long, scale) for a, b in zip(*split, strict=True)]
        loss = torch.stack(losses).mean()
        if not late:
            return loss
        return loss + late * late_interaction(vectors[2], vectors[3], scale, positive)

    if team.size == 1 and not 0 < micro_batch < len(images):
        vectors = embed(slice(None))
        loss = objective(vectors, module.scale)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), batch_accuracy(vectors[0], vectors[1], positive)
    size = micro_batch or len(images)
    parts = [slice(i, i + size) for i in range(0, len(images), size)]
    return _cached(embed, parts, module.scale, positive, objective, team)


def _views(
    module: ClipModule, images: Tensor, batch: Batch, part: slice, team: Team
) -> tuple[Tensor, ...]:
    """Unit vectors of images [b, D] and texts [b, D], of cells [b, P, D] and tokens [b, T, D]."""
    seen, found, _ = module.embed_views(images)
    cells = cast("Tensor", found)  # `train` refuses towers without
    texts, tokens = module.embed_words(batch.input_ids[part], batch.attention_mask[part])
    if team.size > 1:  # each process has cut its texts at another length
        tokens = F.pad(tokens, (0, 0, 0, module.config.text.context - tokens.shape[1]))
    return seen.float(), texts.float(), cells.float(), tokens.float()


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
    embed: Callable[[slice], tuple[Tensor, ...]],
    parts: list[slice],
    scale: Tensor,
    positive: Tensor,
    objective: Callable[[Sequence[Tensor], Tensor], Tensor],
    team: Team,
) -> tuple[float, float]:
    alone = len(parts) == 1
    with torch.set_grad_enabled(alone):  # a single part need not be embedded again
        embedded = [embed(part) for part in parts]
    local = (torch.cat(column).detach() for column in zip(*embedded, strict=True))
    gathered = [team.gather(column).requires_grad_() for column in local]
    # Every process has the temperature's whole gradient, and of the towers' only its part.
    scale = scale / team.size + scale.detach() * (1 - 1 / team.size)
    loss = objective(gathered, scale)
    loss.backward()  # type: ignore[no-untyped-call]
    mine = team.share(len(gathered[0]))
    for part in parts:
        vectors = embedded[0] if alone else embed(part)
        carried = [
            (vector, whole.grad[mine][part])
            for vector, whole in zip(vectors, gathered, strict=True)
            if vector.requires_grad and whole.grad is not None  # not of a frozen tower
        ]
        if carried:
            torch.autograd.backward([v for v, _ in carried], [g for _, g in carried])
    return float(loss.detach()), batch_accuracy(gathered[0], gathered[1], positive)
