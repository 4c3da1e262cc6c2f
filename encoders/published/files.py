"""Read published JSON and safetensors files safely."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from encoders.base.errors import plain_reason
from encoders.model.architecture import EncoderError
from encoders.model.clip import WEIGHTS

__all__ = ["read_json", "read_weights", "renamed"]

FILES = (WEIGHTS, "open_clip_model.safetensors")
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises EncoderError."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{path} cannot be read ({plain_reason(error)}).") from None
    if not isinstance(content, dict):
        raise EncoderError(f"{path} is not a JSON object.")
    return content


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of the folder's safetensors, one file or shards. Raises EncoderError."""
    out: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        try:
            out |= load_file(path)
        except FileNotFoundError:
            raise EncoderError(f"{folder} is incomplete: {path.name} is missing.") from None
        except (SafetensorError, OSError) as error:
            raise EncoderError(f"{path} is damaged: {error}") from None
    return out


def _weight_files(folder: Path) -> list[Path]:
    for name in FILES:
        if (folder / name).is_file():
            return [folder / name]
    if (folder / INDEX).is_file():
        shards = read_json(folder / INDEX).get("weight_map", {})
        return [folder / Path(str(name)).name for name in sorted(set(shards.values()))]
    pickles = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
    if not pickles:
        raise EncoderError(f"{folder} has no {WEIGHTS}: download the safetensors file.")
    raise EncoderError(
        f"{folder} has no {WEIGHTS}; {pickles[0].name} is a pickle, and loading one can run code. "
        "Download the safetensors file, or convert it with this command, which reads tensors "
        f"only: {_conversion(pickles[0])}"
    )


def _conversion(pickle: Path) -> str:
    steps = (
        "import torch, safetensors.torch as s",
        f"w = torch.load({str(pickle)!r}, map_location='cpu', weights_only=True)",
        "w = w.get('state_dict', w)",
        "w = {k: v.clone().contiguous() for k, v in w.items()}",
        f"s.save_file(w, {str(pickle.parent / WEIGHTS)!r})",
    )
    return f'python -c "{"; ".join(steps)}"'


Rules = Sequence[tuple[str, str]]


def renamed(state: Mapping[str, Tensor], rules: Rules, ignored: str) -> dict[str, Tensor]:
    """Our names for published tensors, float32; query, key and value joined into one.

    rules: patterns of their names and ours, tried in order, all that match. Ours of query, key
    and value end in .q.weight, .k.weight, ..., and become .qkv.weight. ignored: a pattern of the
    names that no tower of ours needs.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if re.search(ignored, name):
            continue
        for theirs, ours in rules:
            name = re.sub(theirs, ours, name)  # noqa: PLW2901  (rule after rule)
        out[name] = value.float()
    for name in [name for name in out if ".q." in name]:
        parts = [out.pop(name.replace(".q.", f".{part}.")) for part in "qkv"]
        out[name.replace(".q.", ".qkv.")] = torch.cat(parts)
    return out
