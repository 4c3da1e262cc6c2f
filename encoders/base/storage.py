"""Atomic, synced and private writes of files and folders.

A name is put in place by a rename, and only once all that it stands for is on disk: the data of
each file, then the entries of each folder. So a power cut at any moment leaves the old or the new
one, whole (tests/power). What is made here is for its owner alone, whatever the umask, until
`share_with_group` says otherwise; a stricter mode that was there is kept.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from encoders.base.errors import Notice

__all__ = [
    "LOCK",
    "SEEN",
    "LeftoverWarning",
    "exchange",
    "link_or_copy",
    "locked",
    "make_folder",
    "new_file",
    "open_private",
    "put_back",
    "sha256_bytes",
    "sha256_file",
    "sha256_json",
    "share_with_group",
    "sync_file",
    "whole_file",
    "whole_folder",
    "write_whole",
]

LOCK = "LOCK"
# What an encoder was trained on (encoders/training/seen_pairs.py) stays beside it: no index,
# package or export takes it along.
SEEN = "seen.parquet"


class LeftoverWarning(Notice):
    """The work is done; something that is no longer needed could not be removed."""


_group = 0  # 0o050 where members of the group may read


def share_with_group() -> None:
    """Let the group read what this process writes from now on."""
    global _group  # noqa: PLW0603 - as the umask is one for the process
    _group = 0o050
    os.umask(0o027)


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(content: Mapping[str, object]) -> str:
    """Hex sha256 of values as JSON holds them, in whatever order and layout they stand."""
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


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


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, each entered on disk."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            folder.mkdir(0o700)
            folder.chmod(0o700 | _group)
            sync_file(folder.parent)
    if not path.is_dir():
        raise NotADirectoryError(20, "It is a file, not a folder", str(path))


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield the stream of a file that is not there yet; its data is on disk at the end.

    Its name is not, until the folder is synced: for files that another file names later.
    """
    with open(path, "xb", opener=open_private) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`: a file that is made is private."""
    descriptor = os.open(path, flags, 0o600)
    if _group:
        os.fchmod(descriptor, 0o640)
    return descriptor


def write_whole(path: Path, content: str | bytes, *, secret: bool = False) -> None:
    """Write a file with this content, as `whole_file` does; text in UTF-8."""
    with whole_file(path, secret=secret) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path, *, secret: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on error it goes.

    A reader sees the old file or the new one, never a part. A symbolic link is followed. secret:
    for the owner alone, also with `share_with_group`.
    """
    path = _followed(path)
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.new.")
    beside = Path(name)
    try:
        _lock(descriptor)
        yield beside
        beside.chmod(0o600 if secret else _mode(beside, path))
        sync_file(beside)
        beside.replace(path)
        sync_file(path.parent)
        _remove_leftovers(path)
    finally:
        os.close(descriptor)
        beside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place.

    An existing folder is moved aside first and removed last: after a crash between the two
    renames `put_back` finds it. A symbolic link is followed.
    """
    path = _followed(path)
    make_folder(path.parent)
    put_back(path)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.new."))
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield beside
        _make_lasting(beside, path)
        _put_in_place(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)
    _remove_leftovers(path)


def put_back(path: Path) -> None:
    """Put back the folder that a process moved aside from `path` before it was killed.

    Called before a folder that `whole_folder` writes is read, and before it is written again.
    Where a living process is just exchanging the two, it waits for that.
    """
    if os.path.lexists(path):
        return
    for old in _leftovers(path, "old"):
        with suppress(OSError), _held(old, wait=True):
            if not os.path.lexists(path) and any(old.iterdir()):
                old.rename(path)
                sync_file(path.parent)


def exchange(path: Path, *, take: Path, keep: Path) -> None:
    """Move the folder `path` to `keep` and `take` to `path`: names in one folder.

    One of them is to be a name that `put_back` knows: `.NAME.old.ANY`. In one folder, because a
    rename into another is two changes, and a power cut may keep the first alone.
    """
    with _held(path), _held(take):  # their locks go with them to their other names
        path.replace(keep)
        sync_file(path.parent)
        try:
            take.replace(path)
        except OSError:
            keep.replace(path)
            raise
        finally:
            sync_file(path.parent)


def link_or_copy(source: str, target: str) -> str:
    """A hard link, for `shutil.copytree`; a copy where there are none.

    Also where the group is to read it and may not yet: a link has one mode wherever it stands.
    """
    readable = _group & 0o040
    try:
        if Path(source).stat().st_mode & readable != readable:
            raise PermissionError
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@contextmanager
def locked(folder: Path, refusal: Exception) -> Iterator[None]:
    """Hold the LOCK of a folder, which is made; raises `refusal` where another process holds it."""
    make_folder(folder)
    descriptor = open_private(str(folder / LOCK), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise refusal from None
    try:
        yield
    finally:
        os.close(descriptor)


def _leftovers(path: Path, kind: str) -> list[Path]:
    """Temporary names of `path`, the newest first; kind: `new` or `old`."""
    found = []
    for each in path.parent.glob(f"{glob.escape(f'.{path.name}.{kind}.')}*"):
        with suppress(FileNotFoundError):  # removed meanwhile
            found.append((each.lstat().st_mtime_ns, each))
    return [each for _, each in sorted(found, reverse=True)]


def _followed(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _lock(descriptor: int) -> None:
    """Tell other processes that what is open here is not left over."""
    with suppress(OSError):  # a file system without locks, where nothing is removed either
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock, or go on without it: a new one is held by its writer already."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _mode(new: Path, replaced: Path) -> int:
    """What `new` may be: the owner's and, where asked for, the group's to read.

    Not more than what it replaces; an owner can always clear a folder.
    """
    folder = new.is_dir()
    mode = (0o700 if folder else 0o600) | (_group if folder else _group & 0o040)
    with suppress(FileNotFoundError):
        mode &= stat.S_IMODE(replaced.stat().st_mode)
    return mode | (0o700 | new.stat().st_mode & stat.S_ISGID if folder else 0o400)


def _make_lasting(new: Path, replaced: Path) -> None:
    """Set the modes of all in a folder and flush it to disk.

    A file with another name elsewhere keeps its mode: it would change there as well.
    """
    for entry in [*new.rglob("*"), new]:
        if entry.is_symlink():
            continue
        if entry.is_dir() or entry.stat().st_nlink == 1:
            entry.chmod(_mode(entry, replaced / entry.relative_to(new)))
        sync_file(entry)


def _put_in_place(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`. What was moved aside gets a name to be removed by."""
    if not path.exists():
        new.replace(path)
        sync_file(path.parent)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    exchange(path, take=new, keep=old)
    old.replace(old.with_name(new.name))


def _remove_leftovers(path: Path) -> None:
    """Remove what an exchange or a killed process left for `path`: nobody holds its lock."""
    for kind in ("new", "old"):
        for left in _leftovers(path, kind):
            with suppress(BlockingIOError, FileNotFoundError):  # somebody writes or removes it
                _remove(left)


def _remove(left: Path) -> None:
    try:
        descriptor = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        finally:
            os.close(descriptor)
    except (BlockingIOError, FileNotFoundError):
        raise
    except OSError as error:
        told = f"{left} is no longer needed and could not be removed ({error.strerror or error})."
        warnings.warn(told, LeftoverWarning, stacklevel=2)
