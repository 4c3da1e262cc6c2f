"""Read files that a person named, within limits."""

from __future__ import annotations

import errno
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["is_endless", "read_given", "read_toml"]

_MOST_TOML = 1 << 20  # bytes
_MOST_POINTS = 10_000_000  # squares of the points in a line: tomllib takes as many steps for a key


def is_endless(path: Path) -> bool:
    """Whether reading might never end: a pipe, a socket or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def read_given(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises OSError, whose strerror is a reason in plain words, if it is no regular file: a pipe
    might never end.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if is_endless(path):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    if path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    return path.read_bytes()


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of at most a megabyte.

    Raises OSError as `read_given` does, ValueError if it is not TOML.
    """
    text = read_given(path, _MOST_TOML).decode("utf-8-sig")
    if sum(line.count(".") ** 2 for line in text.splitlines()) > _MOST_POINTS:
        raise ValueError("a line has too many points: a key has a few parts")
    return tomllib.loads(text)
