"""A published BERT as text tower: a Hugging Face or sentence-transformers folder.

    part = load_bert(Path("all-MiniLM-L6-v2"), longest=64)

Weights must be safetensors; nothing is fetched and no code of the folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from encoders.model.architecture import EncoderError
from encoders.model.bert import BertConfig
from encoders.model.tokenizer import load_tokenizer
from encoders.published.files import read_json, read_weights
from encoders.published.parts import TextPart

__all__ = ["load_bert"]

POOLING = Path("1_Pooling") / "config.json"
LENGTH = "sentence_bert_config.json"


def load_bert(folder: Path, longest: int) -> TextPart:
    """The folder's BERT as a text tower; texts are cut to `longest` tokens.

    Raises EncoderError where the folder is incomplete or no plain BERT, TokenizerError where
    its tokenizer.json is missing or damaged.
    """
    config = _config(folder, longest)
    try:
        weights = _renamed(read_weights(folder), config)
    except KeyError as error:
        raise EncoderError(f"{folder} lacks the weights {error} that its config names.") from None
    words = load_tokenizer(folder, max_tokens=config.context)
    return TextPart(config, words, {f"bert.{name}": value for name, value in weights.items()})


def _config(folder: Path, longest: int) -> BertConfig:
    if not (folder / "config.json").is_file():
        raise EncoderError(
            f"{folder} has no config.json: a text tower is a downloaded BERT, such as "
            "all-MiniLM-L6-v2. (An encoder of `rocosearch train` is one to --start from.)"
        )
    published = read_json(folder / "config.json")
    absolute = published.get("position_embedding_type", "absolute") == "absolute"
    kind, activation = published.get("model_type"), published.get("hidden_act")
    if kind != "bert" or activation != "gelu" or not absolute:
        raise EncoderError(
            f"{folder} holds a {kind!r} model with {activation!r}; a text tower can be a BERT "
            "with absolute positions and gelu, such as all-MiniLM-L6-v2."
        )
    read = read_json(folder / LENGTH) if (folder / LENGTH).exists() else {}
    limits = (longest, published["max_position_embeddings"], read.get("max_seq_length") or longest)
    return BertConfig(
        vocabulary=published["vocab_size"],
        context=min(limits),
        width=published["hidden_size"],
        layers=published["num_hidden_layers"],
        heads=published["num_attention_heads"],
        hidden=published["intermediate_size"],
        epsilon=published.get("layer_norm_eps", 1e-12),
        pooling=_pooling(folder),
    )


def _pooling(folder: Path) -> Literal["mean", "cls"]:
    """What sentence-transformers' folder says; the mean where it says nothing."""
    modes: Mapping[str, Any] = read_json(folder / POOLING) if (folder / POOLING).exists() else {}
    chosen = {name for name, value in modes.items() if name.startswith("pooling_mode_") and value}
    if chosen <= {"pooling_mode_mean_tokens"}:
        return "mean"
    if chosen == {"pooling_mode_cls_token"}:
        return "cls"
    raise EncoderError(f"{folder} pools by {', '.join(sorted(chosen))}; mean or cls can be read.")


_IN_BLOCK = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm_1",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm_2",
}


def _renamed(published: Mapping[str, Tensor], config: BertConfig) -> dict[str, Tensor]:
    """Our names for the published tensors; query, key and value joined into one."""
    named = {name.removeprefix("bert."): value.float() for name, value in published.items()}
    words, first_type = "embeddings.word_embeddings.weight", "embeddings.token_type_embeddings"
    positions = named["embeddings.position_embeddings.weight"][: config.context]
    state = {
        "tokens.weight": named[words],
        "positions": positions + named[f"{first_type}.weight"][0],
    }
    for part in ("weight", "bias"):
        state[f"input_norm.{part}"] = named[f"embeddings.LayerNorm.{part}"]
        for layer in range(config.layers):
            theirs, ours = f"encoder.layer.{layer}", f"blocks.{layer}"
            rows = [
                named[f"{theirs}.attention.self.{role}.{part}"]
                for role in ("query", "key", "value")
            ]
            state[f"{ours}.qkv.{part}"] = torch.cat(rows)
            for their_name, our_name in _IN_BLOCK.items():
                state[f"{ours}.{our_name}.{part}"] = named[f"{theirs}.{their_name}.{part}"]
    return state
