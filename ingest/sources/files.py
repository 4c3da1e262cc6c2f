"""Resolve untrusted file names safely."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ingest.corpus.images import MAX_IMAGE_BYTES, ImageRejectedError
from ingest.corpus.records import Reason

__all__ = [
    "IMAGE_SUFFIXES",
    "SPLITS",
    "Found",
    "normal_name",
    "read_image",
    "safe_file",
    "split_named",
    "split_of",
    "stem_of",
    "suffix_of",
    "told_apart",
    "unpacked_name",
    "unread",
    "unread_kinds",
]

IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".ppm", ".pgm"),
    *(".dcm", ".dicom"),  # told of as what they are
}
ROCO_TABLE = re.compile(r"(?:non)?radiology(train|val|test)data", re.IGNORECASE)

UNREAD = {
    **dict.fromkeys((".tar", ".tgz", ".tar.gz"), "unpack with `tar -xf`"),
    **dict.fromkeys((".7z", ".rar"), "unpack"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV"),
    **dict.fromkeys((".xml", ".html"), "make a table: Recipes in docs/corpus.md"),
    **dict.fromkeys((".docx", ".doc", ".pdf"), "save as text"),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".nrrd"), "volumes: save slices as PNG"),
    **dict.fromkeys((".npy", ".npz", ".h5", ".hdf5", ".mat", ".pkl"), "save as PNG and CSV"),
}

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Found:
    """A file by its name below the source ("a/b", or "export.zip/a/b" of a member).

    open: gives its bytes, seekable; raises ImageRejectedError if it must not be read, OSError
    if it cannot.
    """

    name: str
    open: Callable[[], BinaryIO]


def split_of(name: str) -> str:
    """The split that a file's or folder's name tells of, or ""."""
    words = re.split(r"[^a-z]+", ROCO_TABLE.sub(r"\1", name).lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def split_named(value: str) -> str:
    """The split that a column's value tells of; a word of another meaning as it is."""
    return split_of(value) or value.strip().lower()


def normal_name(column: str) -> str:
    """A column's name in lower case with `_` between words: "Canonical name": canonical_name."""
    return re.sub(r"[\W_]+", "_", column.casefold()).strip("_")


def suffix_of(name: str) -> str:
    """The ending of a file's name, in lower case with its dot, or ""."""
    return PurePosixPath(name).suffix.lower()


def stem_of(name: str) -> str:
    """A name or path without its ending.

    >>> stem_of("a/B.JPEG")
    'a/B'
    """
    return name[: len(name) - len(suffix_of(name))]


def unpacked_name(name: str) -> str:
    """The name of what a gzip file holds: `split.csv.gz` is the table `split.csv`."""
    return stem_of(name) if suffix_of(name) == ".gz" else name


def unread(keys: Sequence[str]) -> str:
    """A sentence on the files of kinds that are not read, and what to do; "" if there are none."""
    kinds = unread_kinds(keys)
    return f" Not read: {kinds}." if kinds else ""


def unread_kinds(keys: Sequence[str]) -> str:
    """The same as a list: kinds of files that are not read, how many, and what to do."""
    kinds = Counter(kind for key in keys for kind in UNREAD if key.lower().endswith(kind))
    return "; ".join(f"{count:,} {kind} ({UNREAD[kind]})" for kind, count in kinds.items())


def told_apart(names: Sequence[str], keys: Mapping[int, str]) -> list[str]:
    """The names, those at some places replaced by their keys, with a number where one is taken."""
    taken = set(keys.values())
    found = []
    for place, name in enumerate(names):
        number, free = 2, name
        while place not in keys and free in taken:
            number, free = number + 1, f"{name}_{number}"
        found.append(keys.get(place, free))
        taken.add(found[-1])
    return found


def read_image(folder: Path, name: str) -> bytes:
    """Bytes of the file `name` inside `folder`; raises ImageRejectedError.

    A name that leads out of the folder, also through a symbolic link, is refused.
    """
    path = safe_file(folder, name)
    try:
        return path.read_bytes()
    except OSError as error:
        detail = f"{name} cannot be read ({error.strerror})"
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, detail) from None


def safe_file(folder: Path, name: str, limit: int | None = MAX_IMAGE_BYTES) -> Path:
    """A file inside `folder` of at most `limit` bytes; raises ImageRejectedError."""
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
        size = path.stat().st_size if inside and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, NUL, no UTF-8
        detail = f"{name[:80]!r} is not a valid file name"
        raise ImageRejectedError(Reason.MISSING_IMAGE, detail) from None
    if not inside:
        raise ImageRejectedError(Reason.UNSAFE_PATH, f"{name} points outside {folder.name}/")
    if size is None:
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"{name} does not exist")
    if limit is not None and size > limit:
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, f"{size:,} bytes; at most {limit:,}")
    return path
