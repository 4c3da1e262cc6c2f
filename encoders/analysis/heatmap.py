"""Where in an image lies what a text describes.

Three looks, none of which needs training for it: what similarity is lost when a part is covered
(any tower), what each part is like on its own (any tower), and what each patch's state is like
(vision transformers). A map shows what the encoder looks at, not where a finding is: it is no
diagnosis.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from encoders.base.errors import UserError
from encoders.images.preprocess import ImageInput, open_image
from encoders.model.clip import Encoder
from encoders.model.towers import ViT

__all__ = ["HeatMapError", "heat_map", "overlay"]

Method = Literal["occlusion", "tiles", "patches"]


class HeatMapError(UserError):
    """The method does not suit the encoder's image tower."""


def heat_map(
    encoder: Encoder,
    image: ImageInput,
    text: str,
    *,
    method: Method = "occlusion",
    cells: int = 8,
    window: float = 0.3,
) -> NDArray[np.float32]:
    """Relevance of each cell of the image to the text, float32 [cells, cells], larger is more.

    "occlusion": similarity of the whole minus that with a window (a share of the side) around
    the cell covered by the mean grey (Zeiler and Fergus 2014, section 4.2). "tiles": similarity
    of the window alone. "patches": that of the patches' states, as many cells as the ViT has.
    The map covers the square that the tower sees. Raises HeatMapError, ImageError.
    """
    module = encoder.module
    device = module.logit_scale.device
    pixels = module.pixels([open_image(image)]).to(device)  # [1, C, S, S]
    query = torch.from_numpy(encoder.encode_texts([text])[0]).to(device)  # [D]
    with torch.inference_mode():
        if method == "patches":
            return _numpy(_patches(encoder, pixels, query))
        boxes = _boxes(cells, window, pixels.shape[-1])
        if method == "tiles":
            views = torch.cat([_tile(pixels, box) for box in boxes])
            found = module.embed_pixels(views) @ query
        else:
            covered = torch.cat([_cover(pixels, box) for box in boxes])
            found = module.embed_pixels(pixels) @ query - module.embed_pixels(covered) @ query
    return _numpy(found.reshape(cells, cells))


def overlay(
    image: ImageInput, relevance: NDArray[np.float32], *, resize: str = "pad"
) -> Image.Image:
    """RGB picture of the image, reddened where the map [h, w] is above its median.

    resize: how the encoder makes images square (its manifest says), so that the map lies right.
    """
    picture = open_image(image).convert("RGB")
    low, high = float(np.median(relevance)), float(relevance.max())
    heat = (relevance - low).clip(0) / (high - low) if high > low else np.zeros_like(relevance)
    levels = Image.fromarray((heat * 160).astype(np.uint8), "L")
    longest, shortest = max(picture.size), min(picture.size)
    side = longest if resize == "pad" else shortest
    size = picture.size if resize == "stretch" else (side, side)
    seen = levels.resize(size, Image.Resampling.BICUBIC)
    left, top = ((s - length) // 2 for s, length in zip(size, picture.size, strict=True))
    mask = seen.crop((left, top, left + picture.width, top + picture.height))
    red = Image.new("RGB", picture.size, (255, 40, 0))
    return Image.composite(red, picture, mask)


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()


Box = tuple[int, int, int, int]  # top, bottom, left, right


def _boxes(cells: int, window: float, side: int) -> list[Box]:
    half = window * side / 2
    middles = [(cell + 0.5) * side / cells for cell in range(cells)]
    spans = [(max(0, round(m - half)), min(side, round(m + half))) for m in middles]
    return [(*rows, *columns) for rows in spans for columns in spans]


def _cover(pixels: Tensor, box: Box) -> Tensor:
    top, bottom, left, right = box
    covered = pixels.clone()
    grey = pixels.float().mean(dim=(2, 3), keepdim=True).to(pixels.dtype)
    covered[:, :, top:bottom, left:right] = grey
    return covered


def _tile(pixels: Tensor, box: Box) -> Tensor:
    top, bottom, left, right = box
    tile = pixels[:, :, top:bottom, left:right].float()
    stretched = F.interpolate(tile, pixels.shape[-2:], mode="bilinear", align_corners=False)
    return stretched.round().to(pixels.dtype)


def _patches(encoder: Encoder, pixels: Tensor, query: Tensor) -> Tensor:
    tower = encoder.module.image
    if not isinstance(tower, ViT) or tower.pool is not None:
        raise HeatMapError(
            "Patch similarities need a vision transformer; use occlusion or tiles here."
        )
    states = tower.states(encoder.module.config.preprocessing.normalize(pixels))
    states = states[0, tower.before_patches :]
    vectors = F.normalize(tower.projection(tower.norm(states)), dim=-1)  # [P, D]
    side = round(len(vectors) ** 0.5)
    return (vectors @ query).reshape(side, side)
