"""Read a published BERT or RoBERTa as a text tower.

    part = load_bert(Path("all-MiniLM-L6-v2"), longest=64)

Weights must be safetensors; nothing is fetched and no code of the folder is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from encoders.model.architecture import EncoderError
from encoders.model.bert import BertConfig
from encoders.published.files import read_json, read_weights
from encoders.published.folders import BERTS
from encoders.published.single_towers import TextPart
from encoders.published.tokenizer import published_tokenizer

__all__ = ["bert_config", "bert_weights", "first_position", "load_bert"]

POOLING = Path("1_Pooling") / "config.json"
LENGTH = "sentence_bert_config.json"


def load_bert(folder: Path, longest: int) -> TextPart:
    """The folder's BERT as a text tower; texts are cut to `longest` tokens.

    Raises EncoderError if the folder is incomplete or no plain BERT, TokenizerError where
    its tokenizer.json is missing or damaged.
    """
    config = _config(folder, longest)
    offset = first_position(read_json(folder / "config.json"))
    try:
        weights = bert_weights(read_weights(folder), config, offset)
    except KeyError as error:
        raise EncoderError(f"{folder} lacks the weights {error} that its config names.") from None
    words = published_tokenizer(folder, config.context)
    return TextPart(config, words, {f"bert.{name}": value for name, value in weights.items()})


def _config(folder: Path, longest: int) -> BertConfig:
    if not (folder / "config.json").is_file():
        raise EncoderError(
            f"{folder} has no config.json: a text tower is a downloaded BERT, such as "
            "all-MiniLM-L6-v2. (For an encoder of `rocosearch train`, use --start.)"
        )
    published = read_json(folder / "config.json")
    read = read_json(folder / LENGTH) if (folder / LENGTH).exists() else {}
    longest = min(longest, read.get("max_seq_length") or longest)
    return bert_config(published, longest, _pooling(folder), folder)


def bert_config(
    published: Mapping[str, Any], longest: int, pooling: Literal["mean", "cls"], folder: Path
) -> BertConfig:
    """Our configuration for a published one. Raises EncoderError for what is no plain BERT."""
    absolute = published.get("position_embedding_type", "absolute") == "absolute"
    kind, activation = published.get("model_type"), published.get("hidden_act", "gelu")
    if kind not in BERTS or activation != "gelu" or not absolute:
        raise EncoderError(
            f"{folder} has a {kind!r} model with {activation!r}; a text tower can be a BERT or "
            "RoBERTa with absolute positions and gelu, such as all-MiniLM-L6-v2."
        )
    return BertConfig(
        vocabulary=published.get("vocab_size", 30522),
        context=min(
            longest, published.get("max_position_embeddings", 512) - first_position(published)
        ),
        width=published.get("hidden_size", 768),
        layers=published.get("num_hidden_layers", 12),
        heads=published.get("num_attention_heads", 12),
        hidden=published.get("intermediate_size", 3072),
        epsilon=published.get("layer_norm_eps", 1e-12),
        pooling=pooling,
    )


def first_position(published: Mapping[str, Any]) -> int:
    """Position of the first token: RoBERTa counts from the id of its padding, plus one."""
    if published.get("model_type") == "bert":
        return 0
    return int(published.get("pad_token_id", 1)) + 1


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


def bert_weights(
    published: Mapping[str, Tensor], config: BertConfig, offset: int
) -> dict[str, Tensor]:
    """The weights of `Bert` under our names; query, key and value joined into one.

    offset: position of the first token. Raises KeyError if one is missing.
    """
    named = {
        re.sub(r"^(bert|roberta)\.", "", name): value.float() for name, value in published.items()
    }
    words, first_type = "embeddings.word_embeddings.weight", "embeddings.token_type_embeddings"
    positions = named["embeddings.position_embeddings.weight"][offset : offset + config.context]
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
