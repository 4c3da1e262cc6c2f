"""The encoder as a torch module with its folder: load and save.

    encoder = Encoder.load(Path("build/encoder"))
    encoder.encode_texts(["chest x-ray, frontal"]) @ encoder.encode_images([Path("x.png")]).T

An encoder's folder holds model.safetensors, tokenizer.json, training.csv (its curves),
training.json (settings and figures of the run), text.onnx and image.onnx (the towers as
encoders/export writes them) and encoder.json (the manifest, with the hashes of weights, tokenizer
and graphs). Nothing in it is code. This class needs torch; encoders/inference needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from encoders.base.errors import UserError
from encoders.base.storage import sha256_bytes, whole_folder
from encoders.images.preprocess import ImageInput
from encoders.model import tokenizer as tokens
from encoders.model.architecture import ClipConfig, EncoderError
from encoders.model.manifest import CURVES, TRAINING, Manifest, check_file, read_curves
from encoders.model.module import ClipModule

__all__ = [
    "WEIGHTS",
    "ClipConfig",
    "ClipModule",
    "DeviceError",
    "Encoder",
    "EncoderError",
    "gpu_is_there",
    "pick_device",
]

WEIGHTS = "model.safetensors"
IMAGE_FIELDS = ("image_size", "image_mode", "image_resize", "image_mean", "image_std")


class DeviceError(UserError):
    """The device named is not there."""


class Encoder:
    """A finished encoder: unit vectors of texts and images, and the manifest they follow from."""

    captions = None
    """Only an index has an encoder of captions beside it."""

    def __init__(self, module: ClipModule, curves: str = "", training: str = "") -> None:
        self._weights = _weights(module)
        self.module = module.eval()
        self.curves, self.training = curves, training
        self.manifest = _manifest(module, sha256_bytes(self._weights))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Encoder:
        """Read an encoder's folder onto a device ("auto": a GPU where there is one).

        Raises ManifestError if a file is missing or changed, EncoderError if the architecture is
        unknown, DeviceError if there is no such device.
        """
        folder = Path(folder)
        manifest = Manifest.load(folder)
        check_file(folder / WEIGHTS, manifest.weights_sha256)
        module = ClipModule(
            ClipConfig.from_json(manifest.architecture),
            tokens.load_tokenizer(folder, manifest.tokenizer_sha256),
        )
        try:
            module.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            first = str(error).partition("\n")[0]
            raise EncoderError(f"{folder / WEIGHTS} does not fit its manifest: {first}") from None
        _check_finite(module, folder)
        loaded = cls(module.to(pick_device(device)), read_curves(folder), _told(folder / TRAINING))
        _check_same(loaded.manifest, manifest, folder)
        return loaded

    def save(self, folder: Path) -> None:
        """Write the encoder's folder whole, replacing an older one; graphs are exported later."""
        with whole_folder(folder) as beside:
            (beside / WEIGHTS).write_bytes(self._weights)
            (beside / tokens.FILE_NAME).write_text(_tokenizer_json(self.module), "utf-8")
            for name, told in ((CURVES, self.curves), (TRAINING, self.training)):
                if told:
                    (beside / name).write_text(told, "utf-8")
            self.manifest.save(beside)

    @property
    def scale(self) -> float:
        """What cosine similarities are multiplied by before a softmax: 1 / temperature."""
        return float(self.module.scale.detach())

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D]; a text that names a file is still a text."""
        # Texts of a length together: little padding is computed.
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = self._encode([{"text": texts[row]} for row in order], batch_size)
        out = np.empty_like(vectors)
        out[order] = vectors
        return out

    def encode_images(
        self, images: Sequence[ImageInput], batch_size: int = 64
    ) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D] of Pillow images, encoded bytes or files.

        Raises ImageError for one that cannot be decoded.
        """
        return self._encode([{"image": image} for image in images], batch_size)

    @torch.inference_mode()
    def encode_parts(
        self, images: Sequence[ImageInput], batch_size: int = 64
    ) -> list[NDArray[np.float32]]:
        """What `encode_images` gives, and float32 [N, P, D] of each image's patches, 16 at most.

        Raises EncoderError where the tower has none.
        """
        found: list[list[NDArray[np.float32]]] = []
        for start in range(0, len(images), batch_size):
            batch = [{"image": image} for image in images[start : start + batch_size]]
            pixels = self.module.preprocess(batch)["pixels"].to(_device(self.module))
            vectors, parts, _ = self.module.embed_views(pixels)
            if parts is None:
                raise EncoderError("The image tower pools by attention and has no patches.")
            found.append([each.cpu().numpy() for each in (vectors, parts)])
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    @torch.inference_mode()
    def encode_tokens(
        self, texts: Sequence[str], batch_size: int = 32
    ) -> list[NDArray[np.float32]]:
        """Unit vectors float32 [T, D] of the tokens of each text."""
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), batch_size):
            words = self.module.preprocess([{"text": t} for t in texts[start : start + batch_size]])
            words = {name: value.to(_device(self.module)) for name, value in words.items()}
            tokens = self.module.embed_words(**words)[1].float().cpu().numpy()
            lengths = words["attention_mask"].sum(dim=1).tolist()
            found += [row[:length] for row, length in zip(tokens, lengths, strict=True)]
        return found

    @torch.inference_mode()
    def _encode(self, inputs: list[dict[str, Any]], batch_size: int) -> NDArray[np.float32]:
        out = np.empty((len(inputs), self.manifest.dimension), dtype=np.float32)
        device = _device(self.module)
        for start in range(0, len(inputs), batch_size):
            features = self.module.preprocess(inputs[start : start + batch_size])
            features = {name: value.to(device) for name, value in features.items()}
            out[start : start + batch_size] = self.module(features).cpu().numpy()
        return out


def _told(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def pick_device(name: str) -> torch.device:
    """Name a device; "auto" is a GPU where there is one.

    Raises DeviceError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the name alone says nothing of the machine
    except (AssertionError, RuntimeError, ImportError):  # torch raises each, by device
        raise DeviceError(f"There is no device {name!r}: use auto or cpu.") from None
    return device


def gpu_is_there() -> bool:
    """Whether torch has a GPU to compute on."""
    return torch.cuda.is_available()


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
        logit_scale=float(module.scale.detach()),
    )


def _check_finite(module: ClipModule, folder: Path) -> None:
    for name, values in module.state_dict().items():
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise EncoderError(f"{folder / WEIGHTS} has NaN or infinity in {name}: train it again.")


def _check_same(follows: Manifest, written: Manifest, folder: Path) -> None:
    """What the weights and the architecture say is what encoder.json says."""
    for name in ("dimension", "normalized", "max_tokens", "architecture", *IMAGE_FIELDS):
        value, other = getattr(follows, name), getattr(written, name)
        if other != value:
            raise EncoderError(
                f"{folder / 'encoder.json'} says {name} {other!r}, but the weights {value!r}: "
                "copy the encoder again from its source."
            )
