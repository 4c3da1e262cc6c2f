"""ResNet image towers: a small one, and CLIP's with attention pooling.

Written from the papers: ResNet (He et al. 2016), CLIP (Radford et al. 2021, section 2.4), the
three-convolution stem (He et al. 2019, "bag of tricks"), antialiasing by pooling (Zhang 2019),
group normalisation (Wu and He 2018). All normalise groups, not batches: an image's vector must
not depend on its batch, and batch statistics break gradient caching. Shapes as in towers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.model.towers import GridTower, split_heads

__all__ = ["ModifiedResNet", "ModifiedResNetConfig", "ResNet", "ResNetConfig", "Residual"]


@dataclass(frozen=True)
class ResNetConfig:
    """A small pre-activation-free ResNet of basic blocks; one entry of `widths` a stage.

    The first stage may have no block: then it is the stem alone.
    Each stage but the first halves the image, which the stem has halved before, and what
    remains is averaged down to `grid` x `grid` cells. The cells are kept apart up to the
    projection: where something lies is half of what a caption says.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    grid: int = 4
    groups: int = 8
    kind: Literal["resnet"] = "resnet"


@dataclass(frozen=True)
class ModifiedResNetConfig:
    """CLIP's ResNet: `width` 64 and `blocks` (3, 4, 6, 3) make its RN50.

    heads: of the attention that pools the last feature map; CLIP takes width / 2. folded: no
    normalisation, but biases: published weights have theirs, of batches, in the convolutions.
    """

    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    heads: int = 32
    groups: int = 32
    folded: bool = False
    kind: Literal["modified-resnet"] = "modified-resnet"


class Residual(nn.Module):
    """Two 3x3 convolutions beside a short cut (He et al. 2016, figure 2)."""

    def __init__(self, width_in: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm_1 = nn.GroupNorm(groups, width)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_2 = nn.GroupNorm(groups, width)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.short = nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W_in, s, s] to [B, W, s / stride, s / stride]."""
        y = F.relu(self.norm_1(self.conv_1(x)))
        return F.relu(self.norm_2(self.conv_2(y)) + self.short(x))


class ResNet(GridTower):
    """An image to a vector of the joint space, not normalised.

    Group instead of batch normalisation: an image's vector must not depend on its batch.
    """

    def __init__(self, config: ResNetConfig, channels: int, dimension: int) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid
        widths, groups = config.widths, config.groups
        self.stem = nn.Conv2d(channels, widths[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.GroupNorm(groups, widths[0])
        blocks: list[nn.Module] = []
        before = widths[0]
        for stage, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Residual(before, width, stride, groups))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.projection = nn.Linear(before * config.grid**2, dimension, bias=False)

    def residuals(self) -> list[Residual]:
        """The blocks after the stem, in order."""
        return [block for block in self.blocks if isinstance(block, Residual)]

    def cells(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the last feature map [B, W, s, s]."""
        features: Tensor = self.blocks(F.relu(self.stem_norm(self.stem(pixels))))
        return features


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, four times as wide at the end; strides are average pools."""

    EXPANSION = 4

    def __init__(
        self, width_in: int, width: int, stride: int, config: ModifiedResNetConfig
    ) -> None:
        super().__init__()
        out, groups, bias = self.EXPANSION * width, config.groups, config.folded
        self.conv_1 = nn.Conv2d(width_in, width, 1, bias=bias)
        self.norm_1 = _norm(groups, width, config)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm_2 = _norm(groups, width, config)
        self.conv_3 = nn.Conv2d(width, out, 1, bias=bias)
        self.norm_3 = _norm(groups, out, config)
        self.pool: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.short: nn.Module = nn.Identity()
        if stride > 1 or width_in != out:
            self.short = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(width_in, out, 1, bias=bias),
                _norm(groups, out, config),
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, W_in, s, s] to [B, 4 W, s / stride, s / stride]."""
        y = F.relu(self.norm_1(self.conv_1(x)))
        y = self.pool(F.relu(self.norm_2(self.conv_2(y))))
        return F.relu(self.norm_3(self.conv_3(y)) + self.short(x))


def _norm(groups: int, width: int, config: ModifiedResNetConfig) -> nn.Module:
    return nn.Identity() if config.folded else nn.GroupNorm(groups, width)


class _AttentionPool(nn.Module):
    """One layer of attention whose query is the mean of the cells (CLIP, section 2.4)."""

    def __init__(self, cells: int, width: int, heads: int, dimension: int) -> None:
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(cells + 1, width) * width**-0.5)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, dimension)

    def forward(self, cells: Tensor) -> Tensor:
        """Cells side by side [B, W * P] to [B, D]."""
        tokens = cells.view(cells.shape[0], -1, self.positions.shape[0] - 1).transpose(
            1, 2
        )  # [B, P, W]
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.positions
        asked = (self.query(tokens[:, :1]), self.key(tokens), self.value(tokens))
        q, k, v = (split_heads(x, self.heads) for x in asked)  # q: [B, heads, 1, W / heads]
        pooled = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(pooled.transpose(1, 2).flatten(1))
        return out


class ModifiedResNet(nn.Module):
    """An image to a vector of the joint space, not normalised; its projection is the pooling's."""

    def __init__(
        self, config: ModifiedResNetConfig, channels: int, image_size: int, dimension: int
    ) -> None:
        super().__init__()
        self.config = config
        width, groups = config.width, config.groups
        half = width // 2
        stem_groups, bias = min(groups, half), config.folded
        self.stem = nn.Sequential(
            nn.Conv2d(channels, half, 3, stride=2, padding=1, bias=bias),
            _norm(stem_groups, half, config),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1, bias=bias),
            _norm(stem_groups, half, config),
            nn.ReLU(),
            nn.Conv2d(half, width, 3, padding=1, bias=bias),
            _norm(groups, width, config),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        blocks: list[nn.Module] = []
        before = width
        for stage, count in enumerate(config.blocks):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_Bottleneck(before, width * 2**stage, stride, config))
                before = _Bottleneck.EXPANSION * width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        side = image_size // (4 * 2 ** (len(config.blocks) - 1))
        self.projection = _AttentionPool(side**2, before, config.heads, dimension)
        for module in self.blocks:
            # Start as the identity, as residual nets train best.
            if isinstance(module, _Bottleneck) and isinstance(module.norm_3, nn.GroupNorm):
                nn.init.zeros_(module.norm_3.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, D]."""
        pooled: Tensor = self.projection(self.features(pixels))
        return pooled

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to the last feature map's cells, float [B, W * P]."""
        return self.cells(pixels).flatten(1)

    def cells(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the last feature map [B, W, s, s]."""
        found: Tensor = self.blocks(self.stem(pixels))
        return found
