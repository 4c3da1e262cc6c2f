"""Configurations of the towers, and the towers built from them.

As JSON it is the manifest's `architecture`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from encoders.base.errors import UserError
from encoders.images.preprocess import Preprocessing
from encoders.model.bert import BertConfig, BertTower
from encoders.model.efficientnet import EfficientNet, EfficientNetConfig
from encoders.model.resnet import ModifiedResNet, ModifiedResNetConfig, ResNet, ResNetConfig
from encoders.model.towers import TextConfig, TextTower, ViT, ViTConfig

__all__ = [
    "ClipConfig",
    "EncoderError",
    "ImageConfig",
    "ImageTower",
    "TextTowerConfig",
    "image_tower",
    "text_tower",
]

ImageConfig = ResNetConfig | ModifiedResNetConfig | ViTConfig | EfficientNetConfig
ImageTower = ResNet | ModifiedResNet | ViT | EfficientNet
TextTowerConfig = TextConfig | BertConfig
IMAGE_CONFIGS: Mapping[str, type[ImageConfig]] = {
    "resnet": ResNetConfig,
    "modified-resnet": ModifiedResNetConfig,
    "vit": ViTConfig,
    "efficientnet": EfficientNetConfig,
}

# Fields that came later than the first encoders.
LATER: Mapping[type, frozenset[str]] = {
    Preprocessing: frozenset({"shortest"}),
    TextConfig: frozenset({"hidden", "epsilon", "bias", "pad_id"}),
    BertConfig: frozenset({"mlp"}),
    ModifiedResNetConfig: frozenset({"folded"}),
    ViTConfig: frozenset({"hidden", "epsilon", "registers", "layer_scale", "pooling", "projected"}),
}


class EncoderError(UserError):
    """An encoder's folder is damaged or not what its manifest says."""


@dataclass(frozen=True)
class ClipConfig:
    """Both towers and the joint space.

    heads: number of projections on each tower, each into dimension / heads numbers of length 1
    of their own: a cosine is then the mean of the heads' cosines.
    """

    image: ImageConfig
    text: TextTowerConfig
    dimension: int
    preprocessing: Preprocessing
    heads: int = 1

    def to_json(self) -> str:
        """Canonical JSON: the manifest's `architecture`."""
        return json.dumps(_told(self), sort_keys=True, separators=(",", ":"))

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
                heads=content.get("heads", 1),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"This version does not know the encoder's towers: {error}."
            ) from None


def _told(config: Any) -> dict[str, Any]:  # noqa: ANN401  (any of the configurations)
    """The fields; those of LATER only where they say something.

    So that an encoder made before there were such fields keeps its fingerprint.
    """
    told: dict[str, Any] = {}
    later = {"heads"} if isinstance(config, ClipConfig) else LATER.get(type(config), ())
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in later or value != field.default:
            told[field.name] = _told(value) if is_dataclass(value) else value
    return told


def _text_config(content: Mapping[str, Any]) -> TextTowerConfig:
    return BertConfig(**content) if content.get("kind") == "bert" else TextConfig(**content)


def _frozen(value: Any) -> Any:  # noqa: ANN401  (parsed JSON)
    """Lists of parsed JSON as the tuples of the configurations."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def image_tower(config: ClipConfig) -> ImageTower:
    """The image tower of a configuration, freshly initialised."""
    channels, size = config.preprocessing.channels, config.preprocessing.size
    if isinstance(config.image, ResNetConfig):
        return ResNet(config.image, channels, config.dimension)
    if isinstance(config.image, ModifiedResNetConfig):
        return ModifiedResNet(config.image, channels, size, config.dimension)
    if isinstance(config.image, EfficientNetConfig):
        return EfficientNet(config.image, channels, config.dimension)
    return ViT(config.image, channels, size, config.dimension)


def text_tower(config: ClipConfig) -> TextTower | BertTower:
    """The text tower of a configuration, freshly initialised."""
    if isinstance(config.text, BertConfig):
        return BertTower(config.text, config.dimension)
    return TextTower(config.text, config.dimension)
