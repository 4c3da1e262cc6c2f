"""The small ResNet in eight bits, with scales calibrated on a corpus's own images.

Group normalisation cannot be folded into a convolution, because it depends on the image. As ONNX
operators it is read and written seven times over in 32 bits, and costs more than the convolutions
do. Here the sums of a convolution stay in the cache: one pass finds mean and deviation, another
normalises, adds the short cut, cuts off below zero and rounds to eight bits.

Quantisation as in Jacob et al. 2018, equation 1: r = scale * q. All that is kept in eight bits has
gone through ReLU, so 0 is zero. Each map has one scale, weights one for each output channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.images.preprocess import Preprocessing
from encoders.int8_kernels import Block, Conv, Layer, Norm, Room, encode, project
from encoders.int8_registers import TILE, WIDTH
from encoders.jit import HAS_VNNI
from encoders.model.resnet import Residual, ResNet

__all__ = ["fits", "int8_resnet"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Places = NDArray[np.int64]
CHUNK = 64
LEVELS = 255
FOUR = 4  # bytes that are multiplied together


@dataclass(frozen=True)
class _Map:
    """How a map [side, side, channels] lies in bytes, with a border of one cell all around it."""

    side: int
    channels: int

    @property
    def pitch(self) -> int:
        """Bytes of a row."""
        return (self.side + 2) * self.channels

    @property
    def size(self) -> int:
        """Bytes of the map, and of what the last window's last four takes in behind it."""
        return (self.side + 2) * self.pitch + FOUR

    def places(self, stride: int = 1, inset: int = 1) -> Places:
        """Where every `stride`th cell begins; with an inset of 0 what lies up and left of it."""
        steps = np.arange(0, self.side, stride) + inset
        return (steps[:, None] * self.pitch + steps * self.channels).ravel()


def fits(tower: ResNet) -> bool:
    """Whether this processor and a tower of that shape can have one: it needs VNNI, and blocks."""
    return HAS_VNNI and bool(tower.residuals())


def int8_resnet(
    prepare: Preprocessing, tower: ResNet, pixels: Bytes
) -> Callable[[Bytes], NDArray[np.float32]]:
    """The image tower in eight bits: uint8 [N, C, S, S] to vectors float32 [N, D].

    pixels: images from which the scales of maps are taken.
    """
    seen = _scales(prepare, tower, pixels)
    scale = seen[tower.stem_norm]
    canvas, stem, here = _stem(prepare, tower, scale)
    blocks = []
    for residual in tower.residuals():
        block, here = _block(residual, here, scale, seen)
        blocks.append(block)
        scale = seen[residual]
    head = _head(tower, here, scale)

    def run(pixels: Bytes) -> Floats:
        rooms = (
            Room(canvas.copy(), _map(stem), _sums(stem.conv), _sums(stem.conv)),
            *(Room(_map(b.first), _map(b.second), _sums(b.short), _sums(b.short)) for b in blocks),
        )
        ends = np.empty((len(pixels), here.size), np.uint8)
        encode(np.ascontiguousarray(pixels), stem, tuple(blocks), rooms, ends)
        starts = head.starts[0] + np.arange(len(pixels)) * here.size
        last = head._replace(starts=_in_tiles(starts))
        out = np.empty((len(pixels), len(head.scale)), np.float32)
        project(ends, last, _sums(last), out)
        return out

    return run


def _map(layer: Layer) -> Bytes:
    return np.zeros(layer.size, np.uint8)


def _sums(conv: Conv) -> NDArray[np.int32]:
    return np.empty((len(conv.starts), len(conv.weights) * WIDTH), np.int32)


def _stem(prepare: Preprocessing, tower: ResNet, given: float) -> tuple[Bytes, Layer, _Map]:
    """A canvas for pixels, the first layer, and what its map is.

    Normalising pixels goes into the weights. The canvas is of what it makes 0, but for rounding.
    """
    here = _Map(prepare.size, prepare.channels)
    there = _Map(-(-prepare.size // 2), tower.stem.out_channels)
    mean, deviation = (torch.tensor(v).view(-1, 1, 1) for v in (prepare.mean, prepare.std))
    weights = tower.stem.weight.detach() / (LEVELS * deviation)
    taps, scale = _rounded(weights)
    offset = -(taps * LEVELS * mean).sum(dim=(1, 2, 3)).numpy()
    conv = Conv(_in_tiles(here.places(2, 0)), here.pitch, _packed(taps), scale, offset)
    canvas = np.resize(np.rint(LEVELS * np.array(prepare.mean)), here.size).astype(np.uint8)
    norm = _norm(tower.stem_norm, given)
    return canvas, Layer(conv, norm, there.places(), there.size), there


def _block(
    block: Residual, here: _Map, taken: float, seen: dict[nn.Module, float]
) -> tuple[Block, _Map]:
    """A residual block, and what its map is."""
    middle, given = seen[block.norm_1], seen[block]
    there = _Map(-(-here.side // block.conv_1.stride[0]), block.conv_1.out_channels)
    place = (there.places(), there.size)
    first = Layer(_conv(block.conv_1, here, taken), _norm(block.norm_1, middle), *place)
    second = Layer(_conv(block.conv_2, there, middle), _norm(block.norm_2, given), *place)
    return Block(first, second, _conv(_short(block), here, taken / given)), there


def _short(block: Residual) -> nn.Conv2d:
    """The short cut's convolution; where the block has none, one that changes nothing."""
    if isinstance(block.short, nn.Conv2d):
        return block.short
    width = block.conv_2.out_channels
    same = nn.Conv2d(width, width, 1, bias=False)
    nn.init.dirac_(same.weight)
    return same


def _head(tower: ResNet, here: _Map, taken: float) -> Conv:
    """The projection: a convolution of the whole map.

    Averaging cells down to the grid is linear, as the projection is, and goes into its weights.
    """
    grid, side = tower.config.grid, here.side
    weights = tower.projection.weight.detach()
    spread = F.adaptive_avg_pool2d(torch.eye(side**2).view(side**2, 1, side, side), grid)
    of_cells = torch.einsum(
        "dcg,pg->dcp", weights.view(len(weights), -1, grid**2), spread.flatten(1)
    )
    return _of(of_cells.reshape(*of_cells.shape[:2], side, side), here.places()[:1], here, taken)


def _conv(conv: nn.Conv2d, here: _Map, taken: float) -> Conv:
    """taken: what one of the input's 255 levels is worth."""
    starts = here.places(conv.stride[0], inset=0 if conv.padding[0] else 1)
    return _of(conv.weight.detach(), starts, here, taken)


def _of(weights: Tensor, starts: Places, here: _Map, taken: float) -> Conv:
    taps, scale = _rounded(weights)
    offset = np.zeros_like(scale)
    return Conv(_in_tiles(starts), here.pitch, _packed(taps), scale * np.float32(taken), offset)


def _norm(norm: nn.GroupNorm, given: float) -> Norm:
    """In units of what comes out."""
    gain, bias = ((p.detach() / given).float().numpy() for p in (norm.weight, norm.bias))
    return Norm(gain, bias, norm.num_groups, norm.eps)


def _in_tiles(starts: Places) -> Places:
    """The last again, until they are whole tiles."""
    return np.pad(starts, (0, -len(starts) % TILE), mode="edge")


def _rounded(weights: Tensor) -> tuple[Tensor, Floats]:
    """Weights [O, C, h, w] in levels within -127..127, and what a level of each output is worth."""
    scale = (weights.abs().amax(dim=(1, 2, 3)) / 127).clamp(min=1e-12)
    return (weights / scale.view(-1, 1, 1, 1)).round(), scale.float().numpy()


def _packed(taps: Tensor) -> NDArray[np.int8]:
    """Levels [O, C, h, w] as `tile_products` wants them, channels last, rows in whole fours."""
    rows = taps.permute(0, 2, 3, 1).flatten(2).to(torch.int8).numpy()
    rows = np.pad(rows, ((0, -len(rows) % WIDTH), (0, 0), (0, -rows.shape[2] % FOUR)))
    outputs, height, size = rows.shape
    fours = rows.reshape(outputs // WIDTH, WIDTH, height, size // FOUR, FOUR)
    return np.ascontiguousarray(fours.transpose(0, 2, 3, 1, 4))


@torch.inference_mode()
def _scales(prepare: Preprocessing, tower: ResNet, pixels: Bytes) -> dict[nn.Module, float]:
    """What one of 255 levels is worth of each norm's and block's output, over the images."""
    highest: dict[nn.Module, float] = {}

    def look(part: nn.Module, _: object, given: Tensor) -> None:
        highest[part] = max(highest.get(part, 1e-6), float(given.max()))

    norms = (part for part in tower.modules() if isinstance(part, nn.GroupNorm))
    hooks = [part.register_forward_hook(look) for part in [*tower.residuals(), *norms]]
    for start in range(0, len(pixels), CHUNK):
        tower(prepare.normalize(torch.from_numpy(pixels[start : start + CHUNK])))
    for hook in hooks:
        hook.remove()
    return {part: high / LEVELS for part, high in highest.items()}
