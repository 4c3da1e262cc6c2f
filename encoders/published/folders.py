"""Recognise folders of published models without importing torch."""

from __future__ import annotations

import re
from pathlib import Path

from encoders.base.errors import UserError

__all__ = ["NoFolderError", "check_folder", "is_published"]

FILES = ("config.json", "open_clip_config.json", "modules.json", "0_CLIPModel")


class NoFolderError(UserError):
    """There is no folder of that name."""


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of a model as it is downloaded."""
    return any((folder / name).exists() for name in FILES)


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
