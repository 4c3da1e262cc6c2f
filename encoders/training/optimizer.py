"""AdamW as in CLIP, with learning rates and freezing by part."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import nn

from encoders.base.errors import UserError

__all__ = [
    "FreezeError",
    "check_parts",
    "freeze",
    "is_projection",
    "layers_below_top",
    "make_optimizer",
    "rate_at",
    "share_done",
    "take_step",
    "without_effect",
]

BETAS = (0.9, 0.98)  # CLIP, table 19
EPSILON = 1e-6
BODIES = ("image.tower", "text.tower")  # a tower without its projection
_BLOCK = re.compile(r"(.*?)\.blocks\.(\d+)\.")
_BOTTOM = re.compile(r"(.*?)\.(tokens|positions|patches|class_token|input_norm|stem)")


class FreezeError(UserError):
    """No part of the encoder has the name of what should be frozen, or all of them have."""


def freeze(module: nn.Module, prefixes: Sequence[str]) -> None:
    """Keep the parameters whose name starts with one of `prefixes` as they are.

    ("image",) locks the image tower (Zhai et al. 2022, LiT), ("image.tower",) all of it but its
    projection, ("image.blocks.0.", "text.tokens") parts of both.
    Raises FreezeError for a prefix without parameters, or if nothing is left.
    """
    bodies = tuple(f"{part.removesuffix('.tower')}." for part in prefixes if part in BODIES)
    others = tuple(part for part in prefixes if part not in BODIES)
    check_parts(module, others)
    for name, parameter in module.named_parameters():
        below = name.startswith(bodies) and not is_projection(name.split(".", 1)[1])
        parameter.requires_grad_(not (below or name.startswith(others)))
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise FreezeError("Everything is frozen: there is nothing to train.")


def is_projection(name: str) -> bool:
    """Whether a tower's parameter of that name belongs to its projection."""
    return name.startswith("projection.")


def check_parts(module: nn.Module, prefixes: Sequence[str]) -> None:
    """Raise FreezeError for a prefix that no parameter's name has."""
    names = [name for name, _ in module.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) for name in names})
            raise FreezeError(
                f"No part of the encoder has the name {prefix!r}. Parts are: "
                f"{', '.join([*BODIES, *parts])}."
            )


def without_effect(
    module: nn.Module, layer_decay: float, rates: Sequence[tuple[str, float]]
) -> list[str]:
    """Sentences about rates that reach nothing that learns."""
    learned = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    told = [
        f"The rate of {prefix} has no effect, since all of it is frozen."
        for prefix, _ in rates
        if not any(name.startswith(prefix) for name in learned)
    ]
    below = layers_below_top([name for name, _ in module.named_parameters()])
    if layer_decay < 1 and not any(below[name] for name in learned):
        told.append("The layer decay has no effect, since no layer below another one learns.")
    return told


def make_optimizer(
    module: nn.Module,
    weight_decay: float,
    layer_decay: float = 1.0,
    rates: Sequence[tuple[str, float]] = (),
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over what is not frozen.

    Gains, biases and the temperature do not decay. With `layer_decay` below 1 each layer learns
    that factor slower than the one above it (Clark et al. 2020, ELECTRA, table 9). rates: what
    the learning rate is multiplied by where a parameter's name begins so. Raises FreezeError if
    all are 0.
    """
    below = layers_below_top([name for name, _ in module.named_parameters()])
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim >= 2 else 0.0
            factor = math.prod(rate for prefix, rate in rates if name.startswith(prefix))
            factor *= layer_decay ** below[name]
            groups.setdefault((decay, factor), []).append(parameter)
    if groups and not any(factor for _, factor in groups):
        raise FreezeError("Every part that learns has a rate of 0: there is nothing to train.")
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "factor": factor}
            for (decay, factor), parameters in groups.items()
        ],
        lr=0.0,
        betas=BETAS,
        eps=EPSILON,
    )


def layers_below_top(names: Sequence[str]) -> dict[str, int]:
    """How many layers of its tower lie above each parameter; 0 for what follows the last block."""
    depth: dict[str, int] = {}
    for block in filter(None, map(_BLOCK.match, names)):
        depth[block[1]] = max(depth.get(block[1], 0), int(block[2]) + 1)
    below = dict.fromkeys(names, 0)
    for name in names:
        inside, bottom = _BLOCK.match(name), _BOTTOM.match(name)
        if inside:
            below[name] = depth[inside[1]] - int(inside[2])
        elif bottom and bottom[1] in depth:
            below[name] = depth[bottom[1]] + 1
    return below


def share_done(step: int, steps: int) -> float:
    """Share of `steps` that is over with this step, counted from 0; never all of it.

    At a share of 1 the learning rate is 0, and the last step, or the only one, would move nothing.
    """
    return min((step + 1) / steps, 1 - 0.5 / steps)


def rate_at(done: float, peak: float, warmup: float) -> float:
    """Learning rate when the share `done` of a run is over: linear rise, then half a cosine."""
    if done < warmup:
        return peak * done / warmup
    rest = min(1.0, (done - warmup) / max(1e-9, 1 - warmup))
    return peak * (1 + math.cos(math.pi * rest)) / 2


def take_step(
    module: nn.Module, optimizer: torch.optim.Optimizer, rate: float, clip_norm: float
) -> None:
    """Move the weights along their gradients, which are cut to this norm."""
    nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    optimizer.step()
