"""List all files below a folder, including members of zip archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.archive import distrusted, open_archive, read_member
from ingest.sources.files import Found, safe_file

__all__ = ["found_files"]


def found_files(path: Path) -> Iterator[Found | Rejection]:
    """The file at `path`, or all files below it, by name; a Rejection for what is not entered."""
    if path.is_file():
        yield from _file(path.parent, path)
    else:
        yield from _walk(path, path)


def _walk(root: Path, folder: Path) -> Iterator[Found | Rejection]:
    try:
        entries = sorted((entry, entry.is_dir()) for entry in folder.iterdir())
    except OSError as error:
        detail = f"cannot be read ({error.strerror})"
        yield Rejection(Reason.UNUSABLE_IMAGE, _name(root, folder), detail=detail)
        return
    for entry, is_folder in entries:
        if not is_folder:
            yield from _file(root, entry)
        elif entry.is_symlink():
            detail = "a link to a folder is not followed"
            yield Rejection(Reason.UNSAFE_PATH, _name(root, entry), detail=detail)
        else:
            yield from _walk(root, entry)


def _file(root: Path, file: Path) -> Iterator[Found | Rejection]:
    name = _name(root, file)
    if file.suffix.lower() != ".zip":
        yield Found(name, partial(_open, root, file))
        return
    try:
        with open_archive(file) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    inside = _printable(f"{name}/{member.filename}")
                    yield Found(inside, partial(_open_member, file, archive, member))
    except CorpusError as error:
        yield Rejection(Reason.UNUSABLE_IMAGE, name, detail=str(error))


def _open(root: Path, file: Path) -> BinaryIO:
    return safe_file(root, str(file.relative_to(root)), limit=None).open("rb")


def _open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    problem = distrusted(member)
    if problem is not None:
        raise problem
    if archive.fp is None:  # closed since: it is read once more
        with open_archive(path) as again:
            return io.BytesIO(read_member(again, member))
    return io.BytesIO(read_member(archive, member))


def _name(root: Path, file: Path) -> str:
    return _printable(file.relative_to(root).as_posix())


def _printable(name: str) -> str:
    """The name, with a mark in place of bytes that are no UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")
