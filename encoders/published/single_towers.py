"""One published tower for training: everything except the projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor, nn

from encoders.images.preprocess import Preprocessing
from encoders.model.architecture import (
    ClipConfig,
    EncoderError,
    ImageConfig,
    TextTowerConfig,
)
from encoders.model.clip import Encoder
from encoders.model.module import ClipModule

__all__ = ["ImagePart", "TextPart", "as_encoder", "fill"]


@dataclass(frozen=True)
class ImagePart:
    """An image tower's configuration, what it takes, and all its weights but the projection's."""

    config: ImageConfig
    preprocessing: Preprocessing
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class TextPart:
    """A text tower's configuration, its tokenizer, and all its weights but the projection's."""

    config: TextTowerConfig
    words: Tokenizer
    weights: Mapping[str, Tensor]


def as_encoder(
    config: ClipConfig, words: Tokenizer, weights: Mapping[str, Tensor], folder: Path
) -> Encoder:
    """An encoder of both towers' weights, under our names.

    Raises EncoderError if they are not what the configuration asks for.
    """
    module = ClipModule(config, words)
    state = module.state_dict()
    unlike = sorted(
        name
        for name in state.keys() | weights.keys()
        if name not in state or name not in weights or state[name].numel() != weights[name].numel()
    )
    if unlike:
        raise EncoderError(
            f"The weights in {folder} do not fit its configuration: {', '.join(unlike[:3])}."
        )
    module.load_state_dict({name: value.view_as(state[name]) for name, value in weights.items()})
    return Encoder(module)


def fill(tower: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a part's weights into a tower. Raises EncoderError if they are not all of it."""
    missing, unknown = tower.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.startswith("projection.")]
    if missing or unknown:
        raise EncoderError(
            f"The published tower's weights do not fit its configuration: "
            f"{', '.join([*missing, *unknown][:3])}."
        )
