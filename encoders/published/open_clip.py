"""Read published open_clip weights: config JSON and safetensors.

    encoder = load_open_clip(Path("BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"))

Image towers: open_clip's own ViT and ResNet, and timm's plain ViT below a linear head. Text
towers: open_clip's own, and a BERT of Hugging Face (the folder must hold its tokenizer.json).
https://github.com/mlfoundations/open_clip/blob/main/src/open_clip/model.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from encoders.model.architecture import ClipConfig, EncoderError, ImageConfig, TextTowerConfig
from encoders.model.bert import BertConfig
from encoders.model.clip import Encoder
from encoders.model.resnet import ModifiedResNetConfig
from encoders.model.towers import Activation, TextConfig, ViTConfig
from encoders.published.bert import bert_config, bert_weights, first_position
from encoders.published.files import read_json, read_weights, renamed
from encoders.published.preprocessing import open_clip_images
from encoders.published.single_towers import as_encoder
from encoders.published.tokenizer import published_tokenizer

__all__ = ["CONFIG", "load_open_clip"]

CONFIG = "open_clip_config.json"
# timm's plain ViTs: patch, width, layers, heads.
TIMM = {
    "vit_tiny": (192, 12, 3),
    "vit_small": (384, 12, 6),
    "vit_base": (768, 12, 12),
    "vit_large": (1024, 24, 16),
}
EPSILON = 1e-5  # of its batch normalisations
# BERTs that a configuration only names: those of medical CLIPs have BERT base's shape.
BERT_BASE = {"model_type": "bert", "hidden_act": "gelu"}
IGNORED = r"^logit_bias$|\.position_ids$|^attn_mask$|^visual\.trunk\.(head|fc_norm)\.|pooler\.dense"
RULES = (
    (r"^text\.transformer\.(embeddings|encoder)\.", r"bert.\1."),
    (r"^text\.proj\.([02])\.", r"text.projection.\1."),
    (r"^text\.proj\.weight", "text.projection.weight"),
    (r"^text\.text_projection|^text_projection", "text.projection.weight"),
    (r"^(text\.)?token_embedding\.", "text.tokens."),
    (r"^(text\.)?positional_embedding", "text.positions"),
    (r"^(text\.)?transformer\.resblocks\.", "text.blocks."),
    (r"^(text\.)?ln_final\.", "text.norm."),
    (r"^visual\.trunk\.cls_token|^visual\.class_embedding", "image.class_token"),
    (r"^visual\.trunk\.pos_embed|^visual\.positional_embedding", "image.positions"),
    (r"^visual\.trunk\.patch_embed\.proj\.|^visual\.conv1\.", "image.patches."),
    (r"^visual\.trunk\.blocks\.|^visual\.transformer\.resblocks\.", "image.blocks."),
    (r"^visual\.trunk\.norm\.|^visual\.ln_post\.", "image.norm."),
    (r"^visual\.ln_pre\.", "image.input_norm."),
    (r"^visual\.head\.proj\.|^visual\.proj$", "image.projection."),
    (r"\.attn\.in_proj_|\.attn\.qkv\.", ".qkv."),
    (r"\.attn\.(out_)?proj\.", ".out."),
    (r"\.(ln_|norm)([12])\.", r".norm_\2."),
    (r"\.mlp\.(c_fc|fc1)\.", ".up."),
    (r"\.mlp\.(c_proj|fc2)\.", ".down."),
    (r"^image\.projection\.$", "image.projection.weight"),
)


def load_open_clip(folder: Path) -> Encoder:
    """Read the folder. Raises EncoderError if it is incomplete or has towers of other kinds."""
    told = read_json(folder / CONFIG)
    config, dimension = told["model_cfg"], int(told["model_cfg"]["embed_dim"])
    seen, read = config["vision_cfg"], config["text_cfg"]
    activation: Activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    size = int(seen.get("image_size", 224))
    published = read_weights(folder)
    text, offset = _text_config(read, dimension, activation, folder)
    model = ClipConfig(
        image=_image_config(seen, activation, folder),
        text=text,
        dimension=dimension,
        preprocessing=open_clip_images(folder, told.get("preprocess_cfg", {}), size),
    )
    if isinstance(model.image, ModifiedResNetConfig):
        published = _folded_resnet(published)
    weights = renamed(published, RULES, IGNORED)
    for name in ("text.projection.weight", "image.projection.weight"):
        # open_clip keeps its own projections as [W, D], timm's and BERT's as torch does.
        if name in weights and _own(name, published):
            weights[name] = weights[name].T.contiguous()
    if isinstance(text, BertConfig):
        weights = _with_bert(weights, text, offset, folder)
    words = published_tokenizer(folder, text.context)
    return as_encoder(model, words, weights, folder)


def _own(name: str, published: Mapping[str, Tensor]) -> bool:
    theirs = (
        ("visual.proj",)
        if name.startswith("image")
        else (
            "text_projection",
            "text.text_projection",
        )
    )
    return any(their in published for their in theirs)


def _folded_resnet(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's ResNet under our names, each batch normalisation in the convolution before it."""
    out = {name: value for name, value in published.items() if not name.startswith("visual.")}
    blocks = sorted(
        {m[1] for name in published if (m := re.match(r"visual\.(layer\d+\.\d+)\.", name))},
        key=lambda block: [int(number) for number in re.findall(r"\d+", block)],
    )
    places = {f"conv{n}": (f"stem.{3 * (n - 1)}", f"bn{n}") for n in (1, 2, 3)}
    for number, block in enumerate(blocks):
        for n in (1, 2, 3):
            places[f"{block}.conv{n}"] = (f"blocks.{number}.conv_{n}", f"{block}.bn{n}")
        if f"visual.{block}.downsample.0.weight" in published:
            places[f"{block}.downsample.0"] = (f"blocks.{number}.short.1", f"{block}.downsample.1")
    for convolution, (ours, norm) in places.items():
        kernel = published[f"visual.{convolution}.weight"].double()
        mean, variance, gain, bias = (
            published[f"visual.{norm}.{part}"].double()
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        gain = gain / (variance + EPSILON).sqrt()
        out[f"image.{ours}.weight"] = (kernel * gain[:, None, None, None]).float()
        out[f"image.{ours}.bias"] = (bias - mean * gain).float()
    pool = "visual.attnpool"
    out["image.projection.positions"] = published[f"{pool}.positional_embedding"]
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "c")):
        for part in ("weight", "bias"):
            out[f"image.projection.{ours}.{part}"] = published[f"{pool}.{theirs}_proj.{part}"]
    return out


def _with_bert(
    weights: Mapping[str, Tensor], text: BertConfig, offset: int, folder: Path
) -> dict[str, Tensor]:
    bert = {n.removeprefix("bert."): v for n, v in weights.items() if n.startswith("bert.")}
    others = {n: v for n, v in weights.items() if not n.startswith("bert.")}
    try:
        ours = bert_weights(bert, text, offset)
    except KeyError as error:
        raise EncoderError(f"{folder} lacks the weights {error} that its config names.") from None
    return others | {f"text.bert.{name}": value for name, value in ours.items()}


def _image_config(seen: Mapping[str, Any], activation: Activation, folder: Path) -> ImageConfig:
    if name := seen.get("timm_model_name"):
        return _timm_config(str(name), seen, folder)
    if isinstance(seen.get("layers", 12), list):
        width = int(seen.get("width", 64))
        heads = width * 32 // int(seen.get("head_width", 64))
        return ModifiedResNetConfig(width, tuple(seen["layers"]), heads, folded=True)
    odd = {"ls_init_value", "attentional_pool", "pool_type", "no_ln_pre", "final_ln_after_pool"}
    if found := sorted(name for name in odd if seen.get(name) not in (None, False, "tok")):
        raise _refused(folder, f"{found[0]} of its image tower")
    width = int(seen.get("width", 768))
    ratio = float(seen.get("mlp_ratio", 4.0))
    return ViTConfig(
        patch=int(seen.get("patch_size", 16)),
        width=width,
        layers=int(seen.get("layers", 12)),
        heads=width // int(seen.get("head_width", 64)),
        activation=activation,
        hidden=0 if ratio == 4 else int(width * ratio),
    )


def _timm_config(name: str, seen: Mapping[str, Any], folder: Path) -> ViTConfig:
    parts = name.split(".", maxsplit=1)[0].split("_")  # vit_base_patch16_224
    shape = TIMM.get("_".join(parts[:2]))
    plain = len(parts) == 4 and parts[2].startswith("patch") and parts[3].isdecimal()
    if shape is None or not plain:
        raise _refused(folder, f"timm's {name} as image tower")
    if seen.get("timm_proj", "linear") != "linear" or seen.get("timm_pool", "") not in (
        "",
        "token",
    ):
        raise _refused(folder, f"{seen.get('timm_proj')} and {seen.get('timm_pool')} upon {name}")
    width, layers, heads = shape
    return ViTConfig(
        patch=int(parts[2].removeprefix("patch")),
        width=width,
        layers=layers,
        heads=heads,
        input_norm=False,
        patch_bias=True,
        epsilon=1e-6,
    )


def _text_config(
    read: Mapping[str, Any], dimension: int, activation: Activation, folder: Path
) -> tuple[TextTowerConfig, int]:
    """The configuration, and a BERT's first position."""
    context = int(read.get("context_length", 77))
    if "hf_model_name" in read:
        return _bert_config(read, dimension, context, folder)
    odd = {"no_causal_mask", "embed_cls", "ls_init_value", "pool_type", "proj_bias", "proj_type"}
    usual = (None, False, "argmax", "linear")
    if found := sorted(name for name in odd if read.get(name) not in usual):
        raise _refused(folder, f"{found[0]} of its text tower")
    width, vocabulary = int(read.get("width", 512)), int(read.get("vocab_size", 49408))
    config = TextConfig(
        vocabulary=vocabulary,
        context=context,
        width=width,
        layers=int(read.get("layers", 12)),
        heads=int(read.get("heads", 8)),
        causal=True,
        pooling="eos",
        activation=activation,
        eos_id=vocabulary - 1,
    )
    return config, 0


def _bert_config(
    read: Mapping[str, Any], dimension: int, context: int, folder: Path
) -> tuple[TextTowerConfig, int]:
    pooler = read.get("hf_pooler_type", read.get("pooler_type"))
    kind = read.get("hf_proj_type", read.get("proj"))
    if pooler not in ("cls_last_hidden_state_pooler", "mean_pooler"):
        raise _refused(folder, f"{pooler} as pooling of its text tower")
    if kind not in ("mlp", "linear"):
        raise _refused(folder, f"{kind} as projection of its text tower")
    path = folder / "config.json"
    named = read_json(path) if path.is_file() else {}
    published = {**BERT_BASE, **read.get("hf_config", {}), **named}
    mean = pooler == "mean_pooler"
    config = bert_config(published, context, "mean" if mean else "cls", folder)
    inner = (config.width + dimension) // 2 if kind == "mlp" else 0
    return replace(config, mlp=inner), first_position(published)


def _refused(folder: Path, what: str) -> EncoderError:
    return EncoderError(f"{folder} is an open_clip model with {what}, which is not supported.")
