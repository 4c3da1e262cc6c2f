"""Convert a published model to an encoder folder, and cache it.

    own_folder(Path("clip-vit-base-patch32"))  # ~/.cache/rocosearch/encoders/<hash>

So that everything that takes an encoder takes a published one: the index carries it, and its
text tower goes into Vespa.
"""

from __future__ import annotations

from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes, sha256_file
from encoders.model.manifest import FILE_NAME as MANIFEST
from encoders.published.folders import check_folder
from encoders.published.packages import cache_folder
from encoders.published.towers import load_any

__all__ = ["own_folder"]

VERSION = 1  # of the conversion: a new version converts published folders again
READ = ("*.json", "*.safetensors", "*.model", "*.txt")


def own_folder(folder: Path, progress: Progress = silent) -> Path:
    """The folder itself where it is ours, else a converted copy of the published model.

    Raises EncoderError if the folder is neither, or cannot be read.
    """
    folder = check_folder(folder)
    if (folder / MANIFEST).exists():
        return folder
    kept = cache_folder().parent / "encoders" / _name(folder)
    if not (kept / MANIFEST).exists():
        progress("reading published encoder", 0, 1)
        load_any(folder).save(kept)
        progress("reading published encoder", 1, 1, f"kept in {kept}")
    return kept


def _name(folder: Path) -> str:
    """A hash of all that can be read from the folder."""
    files = sorted({path for pattern in READ for path in folder.rglob(pattern)})
    told = [f"{path.relative_to(folder)} {sha256_file(path)}" for path in files]
    return sha256_bytes("\n".join([f"version {VERSION}", *told]).encode())[:16]
