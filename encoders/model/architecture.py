"""What an encoder is made of: the towers' configurations, and the towers that follow from them.

As JSON it is the manifest's `architecture`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from encoders.base.errors import UserError
from encoders.images.preprocess import Preprocessing
from encoders.model.bert import BertConfig, BertTower
from encoders.model.resnet import ModifiedResNet, ModifiedResNetConfig, ResNet, ResNetConfig
from encoders.model.towers import TextConfig, TextTower, ViT, ViTConfig

__all__ = ["ClipConfig", "EncoderError", "ImageTower", "image_tower", "text_tower"]

ImageConfig = ResNetConfig | ModifiedResNetConfig | ViTConfig
ImageTower = ResNet | ModifiedResNet | ViT
IMAGE_CONFIGS: Mapping[str, type[ImageConfig]] = {
    "resnet": ResNetConfig,
    "modified-resnet": ModifiedResNetConfig,
    "vit": ViTConfig,
}


class EncoderError(UserError):
    """An encoder's folder is damaged or not what its manifest says."""


@dataclass(frozen=True)
class ClipConfig:
    """Both towers and the joint space."""

    image: ImageConfig
    text: TextConfig | BertConfig
    dimension: int
    preprocessing: Preprocessing

    def to_json(self) -> str:
        """Canonical JSON: the manifest's `architecture`."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ClipConfig:
        """Inverse of `to_json`. Raises EncoderError for an architecture it does not know."""
        try:
            content = {name: _frozen(value) for name, value in json.loads(text).items()}
            kind = IMAGE_CONFIGS[content["image"]["kind"]]
            return cls(
                image=kind(**content["image"]),
                text=_text_config(content["text"]),
                dimension=content["dimension"],
                preprocessing=Preprocessing(**content["preprocessing"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"This version does not know the encoder's towers: {error}."
            ) from None


def _text_config(content: Mapping[str, Any]) -> TextConfig | BertConfig:
    return BertConfig(**content) if content.get("kind") == "bert" else TextConfig(**content)


def _frozen(value: Any) -> Any:  # noqa: ANN401  (parsed JSON)
    """Lists of parsed JSON as the tuples of the configurations."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def image_tower(config: ClipConfig) -> ImageTower:
    """The image tower of a configuration, freshly initialised."""
    channels, size = config.preprocessing.channels, config.preprocessing.size
    if isinstance(config.image, ResNetConfig):
        return ResNet(config.image, channels, config.dimension)
    if isinstance(config.image, ModifiedResNetConfig):
        return ModifiedResNet(config.image, channels, size, config.dimension)
    return ViT(config.image, channels, size, config.dimension)


def text_tower(config: ClipConfig) -> TextTower | BertTower:
    """The text tower of a configuration, freshly initialised."""
    if isinstance(config.text, BertConfig):
        return BertTower(config.text, config.dimension)
    return TextTower(config.text, config.dimension)
