"""AdamW as CLIP uses it, and how the learning rate moves."""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ["make_optimizer", "rate_at"]

BETAS = (0.9, 0.98)  # CLIP, table 19
EPSILON = 1e-6


def make_optimizer(module: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); gains, biases and the temperature do not decay."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON)


def rate_at(done: float, peak: float, warmup: float) -> float:
    """Learning rate when the share `done` of a run is over: linear rise, then half a cosine."""
    if done < warmup:
        return peak * done / warmup
    rest = min(1.0, (done - warmup) / max(1e-9, 1 - warmup))
    return peak * (1 + math.cos(math.pi * rest)) / 2
