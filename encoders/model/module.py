"""Both towers as one torch module, with tokenizer and learned temperature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.images.preprocess import Preprocessing, open_image
from encoders.model import tokenizer as tokens
from encoders.model.architecture import ClipConfig, image_tower, text_tower
from encoders.model.resnet import ModifiedResNet
from encoders.model.towers import PATCH_GRID, ViT

__all__ = ["MAX_LOGIT_SCALE", "ClipModule", "normalize"]

MAX_LOGIT_SCALE = math.log(100)  # CLIP, section 2.5: logits are never scaled by more than 100
START_LOGIT_SCALE = math.log(1 / 0.07)


def normalize(pixels: Tensor, settings: Preprocessing) -> Tensor:
    """uint8, or float in 0..1, [B, C, S, S] to the float32 of the same shape that a tower takes."""
    shape = (1, len(settings.mean), 1, 1)
    mean = torch.tensor(settings.mean, device=pixels.device).view(shape)
    std = torch.tensor(settings.std, device=pixels.device).view(shape)
    scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    return (scaled - mean) / std


def _is_text(item: object) -> bool:
    return isinstance(item, str) or (isinstance(item, dict) and "text" in item)


class ClipModule(nn.Module):
    """Image and text tower, tokenizer and learned temperature."""

    def __init__(self, config: ClipConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        # A quarter faster than the default layout on CPUs, and what tensor cores want.
        self.image = image_tower(config)
        self.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text = text_tower(config)
        self.logit_scale = nn.Parameter(torch.tensor(START_LOGIT_SCALE))

    @property
    def scale(self) -> Tensor:
        """What cosine similarities are multiplied by: 1 / temperature, at most 100."""
        return self.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()

    def preprocess(self, inputs: Sequence[object]) -> dict[str, Tensor]:
        """Tensors of one batch of images, or of one batch of texts.

        Items are Pillow images or {"image": image, bytes or path}, strings or {"text": string}.
        A string is always a text, also where a file of that name exists.
        """
        values = [next(iter(item.values())) if isinstance(item, dict) else item for item in inputs]
        if not all(_is_text(item) for item in inputs):
            return {"pixels": self.pixels(values)}
        ids, mask = tokens.batch_ids(self.tokenizer, [str(text) for text in values])
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def pixels(self, images: Iterable[Any]) -> Tensor:
        """uint8 [B, C, S, S] of images in any form. Raises ImageError."""
        make = self.config.preprocessing.pixels
        return torch.from_numpy(np.stack([make(open_image(image)) for image in images]))

    def image_features(self, images: Tensor) -> Tensor:
        """uint8, or float in 0..1, [B, C, S, S] to vectors [B, D], not normalised.

        Or what the image tower's `features` gave, [B, W].
        """
        if images.ndim == 2:
            projected: Tensor = self.image.projection(images)
            return projected
        features: Tensor = self.image(normalize(images, self.config.preprocessing))
        return features

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """uint8, or float in 0..1, [B, C, S, S] to unit vectors [B, D]; or `features` [B, W]."""
        return self.unit(self.image_features(pixels))

    def unit(self, projected: Tensor) -> Tensor:
        """What a tower gave, [B, D], to unit vectors; each head has the same length in them."""
        heads = self.config.heads
        if heads == 1:
            return F.normalize(projected, dim=-1)
        each = F.normalize(projected.view(-1, heads, projected.shape[1] // heads), dim=-1)
        vectors: Tensor = each.flatten(1) * heads**-0.5
        return vectors

    def embed_views(self, pixels: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """uint8, or float in 0..1, [B, C, S, S] to unit vectors, the tower run once.

        Of the images [B, D]; of PATCH_GRID x PATCH_GRID patches of each at most [B, P, D], None
        where the tower pools by attention; of all patches, where a vision transformer has them.
        """
        tower = self.image
        if isinstance(tower, ModifiedResNet):
            return self.embed_pixels(pixels), None, None
        seen = normalize(pixels, self.config.preprocessing)
        states = tower.states(seen) if isinstance(tower, ViT) else tower.cells(seen)
        vectors = self.unit(tower.projection(tower.pooled(states)))
        found = tower.patch_features(states)
        if found is None:
            return vectors, None, None
        patches = self._unit_each(found)
        side = math.isqrt(found.shape[1])
        if side > PATCH_GRID:
            cells = found.transpose(1, 2).reshape(-1, found.shape[2], side, side)
            found = F.adaptive_avg_pool2d(cells, PATCH_GRID).flatten(2).transpose(1, 2)
        parts = self._unit_each(found)
        return vectors, parts, patches if isinstance(tower, ViT) else None

    def embed_words(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [B, T] twice to unit vectors [B, D] of the texts, and of each token [B, T, D].

        The latter are 0 where there is no token.
        """
        states = self.text.states(input_ids, attention_mask)
        pooled = self.text.pooled(states, input_ids, attention_mask)
        found = self.text.projection(states)[:, : attention_mask.shape[1]]
        tokens = self._unit_each(found) * attention_mask[..., None]
        return self.unit(self.text.projection(pooled)), tokens

    def _unit_each(self, found: Tensor) -> Tensor:
        return self.unit(found.flatten(0, 1)).view_as(found)

    def embed_ids(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to unit vectors [B, D]."""
        return self.unit(self.text(input_ids, attention_mask))

    def project_text(self, features: Tensor) -> Tensor:
        """What the text tower's `features` gave, [B, W], to unit vectors [B, D]."""
        return self.unit(self.text.projection(features))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Unit vectors float [B, D] of what `preprocess` made."""
        if "pixels" in features:
            return self.embed_pixels(features["pixels"]).float()
        return self.embed_ids(features["input_ids"], features["attention_mask"]).float()
