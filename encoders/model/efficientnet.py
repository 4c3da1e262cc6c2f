"""EfficientNet-Lite as an image tower.

Written from the papers: EfficientNet (Tan and Le 2019, table 1), inverted residuals (Sandler et
al. 2018, table 1). The Lite variants have no squeeze-and-excitation, and ReLU6 everywhere. Batch
normalisation is folded into the convolutions, so an image's vector does not depend on its batch,
and "same" padding is TensorFlow's: what is odd goes to the right and to the bottom. Shapes as in
towers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.model.towers import GridTower

__all__ = ["LITE0", "EfficientNet", "EfficientNetConfig", "InvertedResidual", "SameConv"]

LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class EfficientNetConfig:
    """stages: blocks, side of the kernel, stride of the first block, expansion, width of each.

    stem, top: channels of the first and of the last convolution. grid: the last feature map is
    averaged to grid x grid cells, which are kept apart up to the projection.
    """

    stages: tuple[tuple[int, int, int, int, int], ...] = LITE0
    stem: int = 32
    top: int = 1280
    grid: int = 1
    kind: Literal["efficientnet"] = "efficientnet"


class SameConv(nn.Conv2d):
    """A convolution whose output has side / stride, rounded up, as TensorFlow pads."""

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__(width_in, width, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W_in, s, s] to [B, W, ceil(s / stride), ceil(s / stride)]."""
        kernel, stride, side = self.kernel_size[0], self.stride[0], x.shape[-1]
        short = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        before = short // 2
        if short % 2:
            x, before = F.pad(x, (before, short - before) * 2), 0
        return F.conv2d(x, self.weight, self.bias, stride, before, groups=self.groups)


class InvertedResidual(nn.Module):
    """1x1 up, depthwise, 1x1 down; beside a short cut where the shapes allow one."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width_in * expansion
        self.expand = SameConv(width_in, inner, 1, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv(inner, width, 1, 1)
        self.short = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        """[B, W_in, s, s] to [B, W, s / stride, s / stride]."""
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.short else y


class EfficientNet(GridTower):
    """An image to a vector of the joint space, not normalised.

    `body` is the published part, `projection` is trained from scratch: freezing "image.body" locks
    the first.
    """

    def __init__(self, config: EfficientNetConfig, channels: int, dimension: int) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid
        self.body = _Body(config, channels)
        self.projection = nn.Linear(config.top * config.grid**2, dimension, bias=False)
        nn.init.normal_(self.projection.weight, std=(config.top * config.grid**2) ** -0.5)

    def cells(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the last feature map [B, W, s, s]."""
        found: Tensor = self.body(pixels)
        return found


class _Body(nn.Module):
    """Pixels to the last feature map."""

    def __init__(self, config: EfficientNetConfig, channels: int) -> None:
        super().__init__()
        self.stem = SameConv(channels, config.stem, 3, 2)
        blocks, before = [], config.stem
        for count, kernel, stride, expansion, width in config.stages:
            for number in range(count):
                first = stride if number == 0 else 1
                blocks.append(InvertedResidual(before, width, kernel, first, expansion))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.top = SameConv(before, config.top, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to [B, W, S / 32, S / 32]."""
        return F.relu6(self.top(self.blocks(F.relu6(self.stem(pixels)))))
