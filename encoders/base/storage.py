"""Files that are either whole or not there: write beside, then rename."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "LOCK",
    "locked",
    "sha256_bytes",
    "sha256_file",
    "sync_file",
    "whole_file",
    "whole_folder",
]

LOCK = "LOCK"


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of the file at `path`, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on error it goes.

    A reader sees the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        sync_file(beside)
        beside.chmod(0o644)
        beside.replace(path)
        sync_file(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place.

    An existing folder is moved aside first and removed last, so that a crash at any point
    leaves either the old folder or the new one complete under one of the two names. What a
    killed process began for the same path is removed on success: nobody holds its lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.new."
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks, where nothing is removed either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield beside
        beside.chmod(0o755)
        for file in sorted(beside.rglob("*")):
            sync_file(file)
        _swap(beside, path)
        for begun in path.parent.glob(f"{glob.escape(prefix)}*"):
            _remove_unlocked(begun)
    finally:
        os.close(descriptor)
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def locked(folder: Path, refusal: Exception) -> Iterator[None]:
    """Hold the LOCK of a folder, which is made; raises `refusal` where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise refusal from None
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_unlocked(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # another process was faster
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # somebody writes it
        return
    finally:
        os.close(descriptor)


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    path.replace(old / path.name)
    try:
        new.replace(path)
    except OSError:
        (old / path.name).replace(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
