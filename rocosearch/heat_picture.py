"""An image with the heat map of a text in red."""

from __future__ import annotations

from PIL import Image

from encoders.analysis.heatmap import heat_map, overlay
from encoders.base.errors import UserError
from encoders.inference.dual_encoder import DualEncoder
from encoders.inference.onnx_encoder import OnnxEncoder

__all__ = ["heat_picture"]


def heat_picture(encoder: DualEncoder | None, image: bytes, text: str) -> Image.Image:
    """RGB picture in the size of the image. Raises UserError without an encoder."""
    if not isinstance(encoder, OnnxEncoder):
        raise UserError("A heat map needs the encoder: name its folder with --encoder.")
    relevance = heat_map(encoder, image, text)
    return overlay(image, relevance, resize=encoder.preprocessing.resize)
