"""Read a published vision transformer as an image tower: ViT, DINOv2, CLIP's.

    part = load_vit(Path("dinov2-small"))

Hugging Face folders. Weights must be safetensors; nothing is fetched, no code of the folder runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from encoders.model.architecture import EncoderError
from encoders.model.towers import ViTConfig
from encoders.published.files import read_json, read_weights, renamed
from encoders.published.positions import resized_positions
from encoders.published.preprocessing import huggingface_images
from encoders.published.single_towers import ImagePart

__all__ = ["MODEL_TYPES", "load_vit"]

MODEL_TYPES = ("vit", "dinov2", "dinov2_with_registers")
IGNORED = r"\.mask_token$|^pooler\.|^classifier\.|\.position_ids$"
RULES = (
    (r"^(vit|dinov2|dinov2_with_registers)\.", ""),
    (r"^embeddings\.cls_token", "class_token"),
    (r"^embeddings\.register_tokens", "registers"),
    (r"^embeddings\.position_embeddings", "positions"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patches."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.(q)uery\.", r".\1."),
    (r"\.attention\.attention\.(k)ey\.", r".\1."),
    (r"\.attention\.attention\.(v)alue\.", r".\1."),
    (r"\.attention\.output\.dense\.", ".out."),
    (r"\.intermediate\.dense\.|\.mlp\.fc1\.", ".up."),
    (r"\.output\.dense\.|\.mlp\.fc2\.", ".down."),
    (r"\.layernorm_before\.|\.norm1\.", ".norm_1."),
    (r"\.layernorm_after\.|\.norm2\.", ".norm_2."),
    (r"\.layer_scale([12])\.lambda1", r".scale_\1"),
)


def load_vit(folder: Path) -> ImagePart:
    """The folder's vision transformer; its feature is the class token's last state.

    Raises EncoderError if it is incomplete or of another kind.
    """
    published = read_json(folder / "config.json")
    config = _config(published, folder)
    family = "ViT" if published["model_type"] == "vit" else "Bit"
    images = huggingface_images(folder, family, int(published.get("image_size", 224)))
    weights = renamed(read_weights(folder), RULES, IGNORED)
    flat: dict[str, Tensor] = {
        name: value.flatten(0, -2).squeeze(0)
        if name in ("class_token", "registers", "positions")
        else value
        for name, value in weights.items()
    }
    flat["positions"] = resized_positions(flat["positions"], images.size // config.patch, before=1)
    return ImagePart(config, images, flat)


def _config(published: dict[str, Any], folder: Path) -> ViTConfig:
    width = int(published.get("hidden_size", 768))
    hidden = int(published.get("intermediate_size") or width * published.get("mlp_ratio", 4))
    odd = [
        told
        for told, wrong in (
            ("a swiglu MLP", published.get("use_swiglu_ffn", False)),
            ("no biases of queries and keys", not published.get("qkv_bias", True)),
            (f"{published.get('hidden_act')}", published.get("hidden_act", "gelu") != "gelu"),
        )
        if wrong
    ]
    if odd:
        raise EncoderError(f"{folder} is a vision transformer with {odd[0]}: not supported.")
    dinov2 = published["model_type"] != "vit"
    return ViTConfig(
        patch=int(published.get("patch_size", 14 if dinov2 else 16)),
        width=width,
        layers=int(published.get("num_hidden_layers", 12)),
        heads=int(published.get("num_attention_heads", 12)),
        input_norm=False,
        patch_bias=True,
        hidden=0 if hidden == 4 * width else hidden,
        epsilon=published.get("layer_norm_eps", 1e-6 if dinov2 else 1e-12),
        registers=int(published.get("num_register_tokens", 0)),
        layer_scale=dinov2,
    )
