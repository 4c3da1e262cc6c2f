"""Reading what others published: their JSON, and their weights as safetensors and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from encoders.model.architecture import EncoderError
from encoders.model.clip import WEIGHTS

__all__ = ["read_json", "read_weights"]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises EncoderError."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise EncoderError(f"{path} is not a JSON object.")
    return content


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of the folder's model.safetensors. Raises EncoderError."""
    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise EncoderError(
            f"{folder} has no {WEIGHTS}; weights in other formats are not read, because "
            "loading them can run code. Download the safetensors file."
        ) from None
    except SafetensorError as error:
        raise EncoderError(f"{folder / WEIGHTS} is damaged: {error}") from None
