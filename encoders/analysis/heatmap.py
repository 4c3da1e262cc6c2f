"""Heat maps of a text in an image.

Three looks, none of which needs training for it: what similarity is lost when a part is covered
(any tower), what each part is like on its own (any tower), and what each patch's state is like
(vision transformers). A map shows what the encoder looks at, not where a finding is: it is no
diagnosis.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.base.errors import UserError
from encoders.images.preprocess import ImageInput, open_image
from encoders.inference.onnx_encoder import OnnxEncoder

__all__ = ["HeatMapError", "heat_map", "overlay"]

Method = Literal["occlusion", "tiles", "patches"]


class HeatMapError(UserError):
    """The method does not suit the encoder's image tower."""


def heat_map(
    encoder: OnnxEncoder,
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
    pixels = encoder.pixels([image])  # [1, C, S, S]
    query = encoder.encode_texts([text])[0]  # [D]
    if method == "patches":
        return _patches(encoder, pixels, query)
    boxes = _boxes(cells, window, pixels.shape[-1])
    make = _tile if method == "tiles" else _cover
    changed = encoder.encode_pixels(np.concatenate([make(pixels, box) for box in boxes])) @ query
    found = changed if method == "tiles" else encoder.encode_pixels(pixels) @ query - changed
    return np.asarray(found.reshape(cells, cells), np.float32)


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


Box = tuple[int, int, int, int]  # top, bottom, left, right


def _boxes(cells: int, window: float, side: int) -> list[Box]:
    half = window * side / 2
    middles = [(cell + 0.5) * side / cells for cell in range(cells)]
    spans = [(max(0, round(m - half)), min(side, round(m + half))) for m in middles]
    return [(*rows, *columns) for rows in spans for columns in spans]


def _cover(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    top, bottom, left, right = box
    covered = pixels.copy()
    covered[:, :, top:bottom, left:right] = pixels.mean(axis=(2, 3), keepdims=True).astype(np.uint8)
    return covered


def _tile(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The box alone, stretched to the whole square."""
    top, bottom, left, right = box
    side = (pixels.shape[-1], pixels.shape[-2])
    channels = [
        Image.fromarray(channel).resize(side, Image.Resampling.BILINEAR)
        for channel in pixels[0, :, top:bottom, left:right].astype(np.float32)
    ]
    return np.stack([np.asarray(channel) for channel in channels])[None].round().astype(np.uint8)


def _patches(
    encoder: OnnxEncoder, pixels: NDArray[np.uint8], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    if not encoder.has_patches:
        raise HeatMapError(
            "Patch similarities need a vision transformer; use occlusion or tiles here."
        )
    similarities = encoder.encode_patches(pixels)[0] @ query  # [P]
    side = round(len(similarities) ** 0.5)
    return np.asarray(similarities.reshape(side, side), np.float32)
