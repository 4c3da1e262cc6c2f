"""Published CLIP weights in our towers: a Hugging Face `CLIPModel` folder, as it was downloaded.

    encoder = load_published(Path("clip-vit-base-patch32"))

Also reads the folder of sentence-transformers' `clip-ViT-B-32`, which holds such a folder as its
first module. Weights must be safetensors; nothing is fetched and no code of the folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from encoders.images.preprocess import Preprocessing
from encoders.model.clip import WEIGHTS, ClipConfig, ClipModule, Encoder, EncoderError
from encoders.model.manifest import FILE_NAME as MANIFEST
from encoders.model.tokenizer import FILE_NAME as TOKENIZER, load_tokenizer
from encoders.model.towers import Activation, TextConfig, ViTConfig
from encoders.published.files import read_json, read_weights

__all__ = ["is_published", "load_any", "load_published"]

SENTENCE_TRANSFORMERS_PART = "0_CLIPModel"
# OpenAI's preprocessing, where the folder names none.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def load_any(folder: Path) -> Encoder:
    """An encoder's folder of ours, or a published CLIP's."""
    if (folder / MANIFEST).exists() or not is_published(folder):
        return Encoder.load(folder, device="cpu")
    return load_published(folder)


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of a published CLIP."""
    return (_inner(folder) / "config.json").is_file()


def load_published(folder: Path) -> Encoder:
    """Read a published CLIP. Raises EncoderError where it is incomplete or not a CLIP of ViTs."""
    folder = _inner(folder)
    config = read_json(folder / "config.json")
    if config.get("model_type") != "clip":
        raise EncoderError(
            f"{folder} holds a {config.get('model_type')!r} model; training can start from "
            "a CLIP. (A BERT can be the text tower: --text-tower.)"
        )
    text, image = _with_defaults(config, "text_config"), _with_defaults(config, "vision_config")
    model = ClipConfig(
        image=_image_config(image, folder),
        text=_text_config(text, folder),
        dimension=int(config.get("projection_dim", 512)),
        preprocessing=_preprocessing(folder, int(image["image_size"])),
    )
    module = ClipModule(model, _tokenizer(folder, model.text.context))
    try:
        module.load_state_dict(_renamed(read_weights(folder)))
    except (KeyError, RuntimeError) as error:
        raise EncoderError(f"{folder / WEIGHTS} does not fit its config.json: {error}") from None
    return Encoder(module)


def _inner(folder: Path) -> Path:
    part = folder / SENTENCE_TRANSFORMERS_PART
    return part if part.is_dir() else folder


# What transformers leaves out of config.json: the values of ViT-B/32.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "text_config": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "eos_token_id": 49407,
    },
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
        "hidden_act": "quick_gelu",
    },
}


def _with_defaults(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**_DEFAULTS[name], **(config.get(name) or {})}


def _activation(part: Mapping[str, Any], folder: Path) -> Activation:
    name = part["hidden_act"]
    if part["intermediate_size"] != 4 * part["hidden_size"] or name not in ("gelu", "quick_gelu"):
        raise EncoderError(f"{folder} has transformers of another shape than CLIP's.")
    return "gelu" if name == "gelu" else "quick_gelu"


def _image_config(part: Mapping[str, Any], folder: Path) -> ViTConfig:
    return ViTConfig(
        patch=part["patch_size"],
        width=part["hidden_size"],
        layers=part["num_hidden_layers"],
        heads=part["num_attention_heads"],
        activation=_activation(part, folder),
    )


def _text_config(part: Mapping[str, Any], folder: Path) -> TextConfig:
    # Early files say 2 for the end token, and meant the highest id.
    # https://github.com/huggingface/transformers/pull/24773
    eos = part["eos_token_id"]
    return TextConfig(
        vocabulary=part["vocab_size"],
        context=part["max_position_embeddings"],
        width=part["hidden_size"],
        layers=part["num_hidden_layers"],
        heads=part["num_attention_heads"],
        causal=True,
        pooling="eos",
        activation=_activation(part, folder),
        eos_id=part["vocab_size"] - 1 if eos == 2 else eos,
    )


def _preprocessing(folder: Path, size: int) -> Preprocessing:
    path = folder / "preprocessor_config.json"
    content = read_json(path) if path.exists() else {}
    return Preprocessing(
        size=size,
        mode="RGB",
        resize="crop",
        mean=tuple(content.get("image_mean", MEAN)),
        std=tuple(content.get("image_std", STD)),
        resample="bicubic",
    )


def _tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    if (folder / TOKENIZER).exists():
        return load_tokenizer(folder, max_tokens=max_tokens)
    from transformers import CLIPTokenizer  # noqa: PLC0415  (takes seconds)

    try:
        slow = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise EncoderError(f"{folder} has no tokenizer that can be read: {error}") from None
    tokenizer = Tokenizer.from_str(slow.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer


_NAMES = {
    "text_model.embeddings.token_embedding.weight": "text.tokens.weight",
    "text_model.embeddings.position_embedding.weight": "text.positions",
    "text_model.final_layer_norm.": "text.norm.",
    "text_projection.weight": "text.projection.weight",
    "vision_model.embeddings.class_embedding": "image.class_token",
    "vision_model.embeddings.patch_embedding.weight": "image.patches.weight",
    "vision_model.embeddings.position_embedding.weight": "image.positions",
    "vision_model.pre_layrnorm.": "image.input_norm.",  # sic
    "vision_model.post_layernorm.": "image.norm.",
    "visual_projection.weight": "image.projection.weight",
    "text_model.encoder.layers.": "text.blocks.",
    "vision_model.encoder.layers.": "image.blocks.",
}
_IN_BLOCK = {
    ".self_attn.out_proj.": ".out.",
    ".layer_norm1.": ".norm_1.",
    ".layer_norm2.": ".norm_2.",
    ".mlp.fc1.": ".up.",
    ".mlp.fc2.": ".down.",
}


def _renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names for the published tensors; query, key and value joined into one."""
    state = {}
    for name, value in published.items():
        if name.endswith(".position_ids") or ".k_proj." in name or ".v_proj." in name:
            continue  # the first is a constant, the others follow their q_proj
        if ".q_proj." in name:
            parts = [published[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            state[_rename(name).replace(".self_attn.q_proj.", ".qkv.")] = torch.cat(parts)
        else:
            state[_rename(name)] = value
    return {name: value.float() for name, value in state.items()}


def _rename(name: str) -> str:
    for theirs, ours in _NAMES.items():
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
    for theirs, ours in _IN_BLOCK.items():
        name = name.replace(theirs, ours)
    return name
