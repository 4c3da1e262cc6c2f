"""Read published CLIP and SigLIP weights from a Hugging Face folder.

    encoder = load_published(Path("clip-vit-base-patch32"))

Also the folder of sentence-transformers' `clip-ViT-B-32`, which holds such a folder as its first
module. Weights must be safetensors; nothing is fetched and no code of the folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoders.model.architecture import ClipConfig, EncoderError
from encoders.model.clip import Encoder
from encoders.model.towers import Activation, TextConfig, ViTConfig
from encoders.published.files import read_json, read_weights, renamed
from encoders.published.preprocessing import huggingface_images
from encoders.published.single_towers import as_encoder
from encoders.published.tokenizer import pad_id, published_tokenizer

__all__ = ["MODEL_TYPES", "load_clip"]

MODEL_TYPES = ("clip", "siglip")

# What transformers leaves out of config.json: the values of ViT-B/32 and of SigLIP base.
_CLIP_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "eos_token_id": 49407,
    "layer_norm_eps": 1e-5,
}
_CLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_SIGLIP = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "clip.text_config": _CLIP_TEXT,
    "clip.vision_config": _CLIP_VISION,
    "siglip.text_config": {
        **_SIGLIP,
        "vocab_size": 32000,
        "max_position_embeddings": 64,
        "pad_token_id": 1,
    },
    "siglip.vision_config": {**_SIGLIP, "image_size": 224, "patch_size": 16},
}
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def load_clip(folder: Path) -> Encoder:
    """Read a published CLIP or SigLIP. Raises EncoderError if it is incomplete or another."""
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    text, image = (
        {**_DEFAULTS[f"{kind}.{name}"], **(config.get(name) or {})}
        for name in ("text_config", "vision_config")
    )
    siglip = kind == "siglip"
    words = published_tokenizer(folder, text["max_position_embeddings"])
    reads = _text_config(text, folder, siglip=siglip)
    if siglip:
        reads = replace(reads, pad_id=pad_id(folder, words, text["pad_token_id"]))
    size = int(image["image_size"])
    model = ClipConfig(
        image=_image_config(image, folder, siglip=siglip),
        text=reads,
        dimension=image["hidden_size"] if siglip else int(config.get("projection_dim", 512)),
        preprocessing=huggingface_images(folder, "Siglip" if siglip else "CLIP", size),
    )
    if model.preprocessing.size != size:
        raise EncoderError(
            f"{folder} preprocesses images to {model.preprocessing.size} pixels, but its tower "
            f"takes {size}."
        )
    weights = renamed(read_weights(folder), RULES, IGNORED)
    return as_encoder(model, words, weights, folder)


def _activation(part: Mapping[str, Any], folder: Path) -> Activation:
    name = part["hidden_act"]
    if name not in ACTIVATIONS:
        raise EncoderError(f"{folder} has transformers with {name!r}, which are not supported.")
    return ACTIVATIONS[name]


def _image_config(part: Mapping[str, Any], folder: Path, *, siglip: bool) -> ViTConfig:
    return ViTConfig(
        patch=part["patch_size"],
        width=part["hidden_size"],
        layers=part["num_hidden_layers"],
        heads=part["num_attention_heads"],
        activation=_activation(part, folder),
        input_norm=not siglip,
        patch_bias=siglip,
        hidden=_hidden(part),
        epsilon=part["layer_norm_eps"],
        pooling="attention" if siglip else "class",
        projected=not siglip,
    )


def _text_config(part: Mapping[str, Any], folder: Path, *, siglip: bool) -> TextConfig:
    # Early files of CLIP say 2 for the end token, and meant the highest id.
    # https://github.com/huggingface/transformers/pull/24773
    eos = part.get("eos_token_id")
    return TextConfig(
        vocabulary=part["vocab_size"],
        context=part["max_position_embeddings"],
        width=part["hidden_size"],
        layers=part["num_hidden_layers"],
        heads=part["num_attention_heads"],
        causal=not siglip,
        pooling="last" if siglip else "eos",
        activation=_activation(part, folder),
        eos_id=part["vocab_size"] - 1 if eos in (2, None) else eos,
        hidden=_hidden(part),
        epsilon=part["layer_norm_eps"],
        bias=siglip,
    )


def _hidden(part: Mapping[str, Any]) -> int:
    """Width of the MLPs, 0 where it is the usual one."""
    hidden = int(part["intermediate_size"])
    return 0 if hidden == 4 * part["hidden_size"] else hidden


IGNORED = r"\.position_ids$|^logit_bias$"
RULES = (
    (r"^text_model\.encoder\.layers\.", "text.blocks."),
    (r"^vision_model\.encoder\.layers\.", "image.blocks."),
    (r"^text_model\.embeddings\.token_embedding\.", "text.tokens."),
    (r"^text_model\.embeddings\.position_embedding\.weight", "text.positions"),
    (r"^text_model\.final_layer_norm\.", "text.norm."),
    (r"^text_projection\.|^text_model\.head\.", "text.projection."),
    (r"^vision_model\.embeddings\.class_embedding", "image.class_token"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "image.patches."),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "image.positions"),
    (r"^vision_model\.pre_layrnorm\.", "image.input_norm."),  # sic
    (r"^vision_model\.post_layernorm\.", "image.norm."),
    (r"^visual_projection\.", "image.projection."),
    (r"^vision_model\.head\.probe", "image.pool.query"),
    (r"^vision_model\.head\.attention\.in_proj_", "image.pool.qkv."),
    (r"^vision_model\.head\.attention\.out_proj", "image.pool.out"),
    (r"^vision_model\.head\.layernorm", "image.pool.norm"),
    (r"^vision_model\.head\.", "image.pool."),
    (r"\.self_attn\.([qkv])_proj\.", r".\1."),
    (r"\.self_attn\.out_proj\.", ".out."),
    (r"\.layer_norm([12])\.", r".norm_\1."),
    (r"\.mlp\.fc1\.", ".up."),
    (r"\.mlp\.fc2\.", ".down."),
)
