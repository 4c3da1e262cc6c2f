"""Recognise folders of published models without importing torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from encoders.base.errors import UserError

__all__ = ["BERTS", "MINILM", "NoFolderError", "check_folder", "is_published", "is_text_encoder"]

BERTS = ("bert", "roberta", "xlm-roberta")
MINILM = "minilm"
FILES = ("config.json", "open_clip_config.json", "modules.json", "0_CLIPModel")


class NoFolderError(UserError):
    """There is no folder of that name."""


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of a model as it is downloaded."""
    return any((folder / name).exists() for name in FILES)


def is_text_encoder(source: str | Path) -> bool:
    """Whether it is a published BERT, or `minilm`, that of the extra `pretrained`."""
    folder = Path(source)
    if str(source) == MINILM and not folder.exists():
        return True
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") in BERTS


def check_folder(source: str | Path) -> Path:
    """The folder of that name. Raises NoFolderError, which tells how to download one."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise NoFolderError(
            f"{source} is not a folder. Models are not downloaded automatically; for a model on "
            f"Hugging Face, run hf download {source} --local-dir {folder.name}, then name "
            f"{folder.name}."
        )
    raise NoFolderError(f"{source} is not a folder: name an encoder folder, or a downloaded model.")
