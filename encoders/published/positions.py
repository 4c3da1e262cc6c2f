"""Interpolate position embeddings of a vision transformer to another image size."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from encoders.model.architecture import EncoderError

__all__ = ["resized_positions"]


def resized_positions(positions: Tensor, side: int, before: int) -> Tensor:
    """[before + P, W] to [before + side * side, W]; the first `before` stay as they are.

    The patches' positions are an image of P pixels, interpolated bicubically (DINOv2, appendix
    A; ViT, section 3.2). Raises EncoderError if P is no square.
    """
    first, patches = positions[:before], positions[before:]
    old = math.isqrt(len(patches))
    if old * old != len(patches):
        raise EncoderError(f"The tower has {len(patches)} patches, which are no square.")
    if old == side:
        return positions
    grid = patches.T.reshape(1, -1, old, old)
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return torch.cat([first, grid[0].flatten(1).T])
