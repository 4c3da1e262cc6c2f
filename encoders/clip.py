"""Both towers as one module, and an encoder's folder.

    encoder = Encoder.load(Path("build/encoder"))
    encoder.encode_texts(["chest x-ray, frontal"]) @ encoder.encode_images([Path("x.png")]).T

An encoder's folder holds model.safetensors, tokenizer.json, training.csv (its curves) and
encoder.json (the manifest, with the hashes of the other two). Nothing in it is code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders import tokenizer as tokens
from encoders.errors import UserError
from encoders.manifest import Manifest
from encoders.preprocess import ImageInput, Preprocessing, open_image
from encoders.resnet import ModifiedResNet, ModifiedResNetConfig, ResNet, ResNetConfig
from encoders.storage import sha256_bytes, sha256_file, whole_folder
from encoders.towers import TextConfig, TextTower, ViT, ViTConfig

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "CURVES",
    "WEIGHTS",
    "ClipConfig",
    "ClipModule",
    "Encoder",
    "EncoderError",
    "TextTower",
    "image_tower",
    "pick_device",
]

WEIGHTS = "model.safetensors"
CURVES = "training.csv"
MAX_LOGIT_SCALE = math.log(100)  # CLIP, section 2.5: logits are never scaled by more than 100
START_LOGIT_SCALE = math.log(1 / 0.07)

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
    text: TextConfig
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
                text=TextConfig(**content["text"]),
                dimension=content["dimension"],
                preprocessing=Preprocessing(**content["preprocessing"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"This version does not know the encoder's towers: {error}."
            ) from None


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
        self.text = TextTower(config.text, config.dimension)
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
        return {"input_ids": ids, "attention_mask": mask}

    def pixels(self, images: Iterable[Any]) -> Tensor:
        """uint8 [B, C, S, S] of images in any form. Raises ImageError."""
        make = self.config.preprocessing.pixels
        return torch.from_numpy(np.stack([make(open_image(image)) for image in images]))

    def image_features(self, pixels: Tensor) -> Tensor:
        """uint8, or float in 0..1, [B, C, S, S] to vectors [B, D], not normalised."""
        features: Tensor = self.image(self.config.preprocessing.normalize(pixels))
        return features

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """uint8, or float in 0..1, [B, C, S, S] to unit vectors [B, D]."""
        return F.normalize(self.image_features(pixels), dim=-1)

    def embed_ids(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to unit vectors [B, D]."""
        return F.normalize(self.text(input_ids, attention_mask), dim=-1)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Unit vectors float [B, D] of what `preprocess` made."""
        if "pixels" in features:
            return self.embed_pixels(features["pixels"]).float()
        return self.embed_ids(features["input_ids"], features["attention_mask"]).float()


class Encoder:
    """A finished encoder: unit vectors of texts and images, and the manifest they follow from."""

    def __init__(self, module: ClipModule, curves: str = "") -> None:
        self._weights = _weights(module)
        self.module = module.eval()
        self.curves = curves
        self.manifest = _manifest(module, sha256_bytes(self._weights))

    @cached_property
    def model(self) -> SentenceTransformer:
        """The same as a sentence-transformers model."""
        from encoders.sentence import as_sentence_transformer  # noqa: PLC0415  (takes seconds)

        return as_sentence_transformer(self.module)

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Encoder:
        """Read an encoder's folder onto a device ("auto": a GPU where there is one).

        Raises EncoderError where a file is missing, changed or of unknown architecture,
        ManifestError where encoder.json is.
        """
        manifest = Manifest.load(folder)
        for name, expected in (
            (WEIGHTS, manifest.weights_sha256),
            (tokens.FILE_NAME, manifest.tokenizer_sha256),
        ):
            _check_hash(folder / name, expected)
        module = ClipModule(
            ClipConfig.from_json(manifest.architecture), tokens.load_tokenizer(folder)
        )
        try:
            module.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise EncoderError(f"{folder / WEIGHTS} does not fit its manifest: {error}") from None
        curves = folder / CURVES
        return cls(
            module.to(pick_device(device)), curves.read_text("utf-8") if curves.exists() else ""
        )

    def save(self, folder: Path) -> None:
        """Write the encoder's folder whole, replacing an older one."""
        with whole_folder(folder) as beside:
            (beside / WEIGHTS).write_bytes(self._weights)
            (beside / tokens.FILE_NAME).write_text(_tokenizer_json(self.module), "utf-8")
            if self.curves:
                (beside / CURVES).write_text(self.curves, "utf-8")
            self.manifest.save(beside)

    @property
    def scale(self) -> float:
        """What cosine similarities are multiplied by before a softmax: 1 / temperature."""
        return float(self.module.scale.detach())

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D]; a text that names a file is still a text."""
        return self._encode([{"text": text} for text in texts], batch_size)

    def encode_images(
        self, images: Sequence[ImageInput], batch_size: int = 64
    ) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D] of Pillow images, encoded bytes or files.

        Raises ImageError for one that cannot be decoded.
        """
        return self._encode([{"image": image} for image in images], batch_size)

    @torch.inference_mode()
    def _encode(self, inputs: list[dict[str, Any]], batch_size: int) -> NDArray[np.float32]:
        out = np.empty((len(inputs), self.manifest.dimension), dtype=np.float32)
        device = _device(self.module)
        for start in range(0, len(inputs), batch_size):
            features = self.module.preprocess(inputs[start : start + batch_size])
            features = {name: value.to(device) for name, value in features.items()}
            out[start : start + batch_size] = self.module(features).cpu().numpy()
        return out


def pick_device(name: str) -> torch.device:
    """Name a device; "auto" is a GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _weights(module: ClipModule) -> bytes:
    state = {name: value.cpu().contiguous() for name, value in module.state_dict().items()}
    return save(state)


def _tokenizer_json(module: ClipModule) -> str:
    module.tokenizer.no_padding()
    return module.tokenizer.to_str(pretty=True)


def _manifest(module: ClipModule, weights_sha256: str) -> Manifest:
    config = module.config
    return Manifest(
        dimension=config.dimension,
        normalized=True,
        max_tokens=config.text.context,
        image_size=config.preprocessing.size,
        image_mode=config.preprocessing.mode,
        image_resize=config.preprocessing.resize,
        image_mean=config.preprocessing.mean,
        image_std=config.preprocessing.std,
        weights_sha256=weights_sha256,
        tokenizer_sha256=sha256_bytes(_tokenizer_json(module).encode("utf-8")),
        architecture=config.to_json(),
    )


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise EncoderError(f"{path.parent} is not a whole encoder: {path.name} is missing.")
    if sha256_file(path) != expected:
        raise EncoderError(
            f"{path} is not the file its manifest names: it was changed or cut short. "
            "Take the encoder from its source again."
        )
