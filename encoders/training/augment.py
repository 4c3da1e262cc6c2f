"""Image augmentation in batches.

Never a flip: left and right are findings. One affine map does crop, zoom, turn and shift in a
single resampling; intensity, noise and cutout follow. Every draw comes from the generator given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["AUGMENTED", "NO_AUGMENTATION", "Augmentation", "augment_images"]


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed; 0 switches a part off.

    share: of the images that are moved at all. Moving resamples, which blurs, and an encoder
    that has only seen blurred images does worse on sharp ones.
    zoom, shift: largest change as a share of the side. turn: degrees. brightness: largest
    offset on intensities of 0..1. contrast: largest relative change. noise: largest standard
    deviation. cutout: side of the grey square as a share of the image's.
    """

    zoom: float = 0.1
    turn: float = 7.0
    shift: float = 0.06
    brightness: float = 0.1
    contrast: float = 0.2
    noise: float = 0.03
    cutout: float = 0.0
    share: float = 0.5


AUGMENTED = Augmentation()
NO_AUGMENTATION = Augmentation(0, 0, 0, 0, 0, 0, 0)


def augment_images(pixels: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """uint8 [B, C, S, S] to float32 of the same shape, in 0..1."""
    images = pixels.float() / 255
    if settings == NO_AUGMENTATION:
        return images
    draw = _Draws(len(images), generator, images.device)
    images = _affine(images, settings, draw)
    images = _intensity(images, settings, draw)
    if settings.noise:
        sigma = draw(0, settings.noise)[:, None, None, None]
        images = images + sigma * draw.normal(images.shape)
    if settings.cutout:
        images = _cutout(images, settings.cutout, draw)
    return images.clamp(0, 1)


class _Draws:
    """Numbers for each image of a batch, drawn on the CPU so that devices agree.

    Only noise, a number for each pixel, is drawn where the images are: a GPU would wait for it.
    """

    def __init__(self, batch: int, generator: torch.Generator, device: torch.device) -> None:
        self.batch, self.generator, self.device = batch, generator, device
        self.noise = generator
        if device.type != "cpu":
            self.noise = torch.Generator(device).manual_seed(generator.initial_seed())

    def __call__(self, low: float, high: float) -> Tensor:
        drawn = torch.rand(self.batch, generator=self.generator) * (high - low) + low
        return drawn.to(self.device)

    def around(self, spread: float) -> Tensor:
        return self(-spread, spread)

    def normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.noise, device=self.device)


def _affine(images: Tensor, settings: Augmentation, draw: _Draws) -> Tensor:
    angle = draw.around(math.radians(settings.turn))
    scale = 1 + draw.around(settings.zoom)
    shift = torch.stack([draw.around(2 * settings.shift), draw.around(2 * settings.shift)], 1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # [B, 2, 2]
    theta = torch.cat([turn, shift[..., None]], dim=2)  # [B, 2, 3]
    stays = draw(0, 1) >= settings.share
    theta = torch.where(stays[:, None, None], torch.eye(2, 3, device=images.device), theta)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="zeros")


def _intensity(images: Tensor, settings: Augmentation, draw: _Draws) -> Tensor:
    shape = (-1, 1, 1, 1)
    gain = (1 + draw.around(settings.contrast)).view(shape)
    offset = draw.around(settings.brightness).view(shape)
    # Black stays black: the background of a scan carries no exposure.
    return (gain * images + offset * (images > 0)).clamp(0, 1)


def _cutout(images: Tensor, share: float, draw: _Draws) -> Tensor:
    side = images.shape[-1]
    cells = (torch.arange(side, device=images.device) + 0.5) / side
    middle_x, middle_y = draw(0, 1), draw(0, 1)
    in_x = (cells[None] - middle_x[:, None]).abs() < share / 2  # [B, S]
    in_y = (cells[None] - middle_y[:, None]).abs() < share / 2
    hole = (in_y[:, :, None] & in_x[:, None, :])[:, None]  # [B, 1, S, S]
    return torch.where(hole, images.mean(dim=(2, 3), keepdim=True), images)
