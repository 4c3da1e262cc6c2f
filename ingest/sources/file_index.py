"""Find files below a folder and in zip archives by path, name or stem.

Nothing is unpacked, and a name in a table never opens what is not in the index.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.archive import distrusted, open_archive, read_member, regular
from ingest.sources.files import IMAGE_SUFFIXES, Found, read_image, split_of, stem_of, suffix_of

__all__ = ["FileIndex"]

MAX_UNPACKED_BYTES = 256 << 20  # of a table in a gzip file


@dataclass
class FileIndex:
    """The files at or below `root`, or of the archive or the folder of the table that `root` is.

    Keys are paths below the root, with `/`; those of a member begin with its archive's.
    Raises CorpusError if a file named .zip is no complete zip archive.
    """

    root: Path
    keys: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)  # images that a row was given, or named
    _members: dict[str, tuple[zipfile.ZipFile, zipfile.ZipInfo]] = field(default_factory=dict)
    _by_name: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _by_stem: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _by_number: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # 0012: 12
    _by_folder: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _within: dict[str, list[str]] = field(
        default_factory=dict
    )  # the images at or below each folder
    _open: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        if self.root.is_file():
            alone = self.root
            self.root = alone.parent
            if suffix_of(alone.name) == ".zip":
                self._add_archive(alone)
                return
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not _hidden(name))
            for name in sorted(names):
                if suffix_of(name) == ".zip":
                    self._add_archive(Path(folder, name))
                elif not _hidden(name):
                    self._add(Path(folder, name).relative_to(self.root).as_posix())

    def __enter__(self) -> Self:
        """Return itself; the archives are closed on exit."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the archives."""
        self._open.close()

    def found(self, key: str) -> Found:
        """The file of a key, to be read as a table; what a gzip file holds, unpacked."""
        if key in self._members:
            archive, member = self._members[key]
            file = Found(key, partial(_open_member, Path(str(archive.filename)), member))
        else:
            path = regular(self.root / key)
            file = Found(key, lambda: path.open("rb"))
        return Found(key, partial(_unpacked, file)) if suffix_of(key) == ".gz" else file

    def images_below(self, folder: str) -> bool:
        """Whether any image lies at or below the folder; "" is the root."""
        return (not folder and bool(self.images)) or any(_below(key, folder) for key in self.images)

    def find(self, name: str, near: str = "", split: str = "") -> str:
        """The key of the image that a row calls `name`: its path, its file name or its stem.

        near: folder of the table, from which paths lead. Where several files have the name, the
        one counts whose path agrees the most, then one below `near`, then one whose path tells
        of `split`, then one that is in no archive.
        Raises ImageRejectedError if there is none, or where it is not clear which.
        """
        wanted = _wanted(name)
        places = [
            os.path.normpath(f"{folder}/{wanted}" if folder else wanted) for folder in (near, "")
        ]
        for key in places:
            if wanted and key in self._by_name.get(_fold(PurePosixPath(key).name), []):
                return self._given(key)
        out = all(key.split("/")[0] == ".." for key in places)
        base = PurePosixPath(wanted).name
        stem = stem_of(base) if suffix_of(base) in IMAGE_SUFFIXES else base
        found = self._by_name.get(_fold(base)) or self._by_stem.get(_fold(stem)) or []
        found = found or (self._by_number.get(stem.lstrip("0"), []) if stem.isdecimal() else [])
        chosen = [] if out else _narrowed(found, wanted, near, split)
        if len(chosen) == 1:
            return self._given(chosen[0])
        if chosen:
            names = ", ".join(chosen[:3])
            detail = f"{len(chosen)} files are named {base[:80]!r} ({names}): give the path"
            raise ImageRejectedError(Reason.MISSING_IMAGE, detail)
        if out or wanted.startswith("/") or ".." in wanted.split("/"):
            detail = f"{wanted[:200]} points outside the source"
            raise ImageRejectedError(Reason.UNSAFE_PATH, detail)
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"no file is named {wanted[:200]!r}")

    def folder(self, name: str, near: str = "") -> list[str]:
        """The images at or below the one folder of that name or path; none if it is not clear."""
        wanted = _wanted(name).strip("/")
        found = self._by_folder.get(_fold(PurePosixPath(wanted).name), []) if wanted else []
        chosen = _narrowed(found, wanted, near, "")
        return self._within[chosen[0]] if len(chosen) == 1 else []

    def has_folder(self, name: str) -> bool:
        """Whether one folder of images has this name or path."""
        return bool(self.folder(name))

    def has(self, name: str) -> bool:
        """Whether any image has this file name or stem."""
        base = PurePosixPath(_wanted(name)).name
        stem = stem_of(base)
        by = (self._by_name, self._by_stem)
        return any(_fold(part) in names for part in (base, stem) for names in by)

    def read(self, key: str) -> bytes:
        """Bytes of a file; raises ImageRejectedError if it must not or cannot be read."""
        if key in self._members:
            archive, member = self._members[key]
            problem = distrusted(member)
            if problem is not None:
                raise problem
            return read_member(archive, member)
        return read_image(self.root, key)

    def unused(self, folders: Sequence[str]) -> Iterator[Rejection]:
        """The images at or below the folders that no row asked for."""
        names = {_fold(PurePosixPath(key).stem) for key in self.asked}
        for key in self.images:
            if key not in self.asked and any(_below(key, folder) for folder in folders):
                stem = PurePosixPath(key).stem
                detail = "another image has this name" if _fold(stem) in names else ""
                yield Rejection(Reason.UNUSED_FILE, key, id=stem, detail=detail)

    def _given(self, key: str) -> str:
        self.asked.add(key)
        return key

    def _add_archive(self, path: Path) -> None:
        archive = self._open.enter_context(open_archive(path))
        above = path.relative_to(self.root).as_posix()
        for member in archive.infolist():
            name = member.filename.replace("\\", "/")
            if not member.is_dir() and not any(map(_hidden, PurePosixPath(name).parts)):
                self._add(f"{above}/{name}")
                self._members[f"{above}/{name}"] = archive, member

    def _add(self, key: str) -> None:
        self.keys.append(key)
        name = PurePosixPath(key).name
        if suffix_of(name) in IMAGE_SUFFIXES:
            self.images.append(key)
            self._by_name[_fold(name)].append(key)
            stem = stem_of(name)
            self._by_stem[_fold(stem)].append(key)
            if stem.isdecimal():
                self._by_number[stem.lstrip("0")].append(key)
            for folder in PurePosixPath(key).parents[:-1]:
                if folder.as_posix() not in self._within:
                    self._by_folder[_fold(folder.name)].append(folder.as_posix())
                self._within.setdefault(folder.as_posix(), []).append(key)


def _open_member(archive: Path, member: zipfile.ZipInfo) -> io.BytesIO:
    """A table's bytes, also after the index was closed."""
    with open_archive(archive) as opened:
        return io.BytesIO(read_member(opened, member))


def _unpacked(found: Found) -> io.BytesIO:
    """What a gzip file holds; raises CorpusError."""
    try:
        with found.open() as stream, gzip.open(stream) as unpacked:
            data = unpacked.read(MAX_UNPACKED_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise CorpusError(f"{found.name} is not a complete gzip file: download it again.") from None
    if len(data) > MAX_UNPACKED_BYTES:
        raise CorpusError(f"{found.name} holds more than {MAX_UNPACKED_BYTES:,} bytes: unpack it.")
    return io.BytesIO(data)


def _wanted(name: str) -> str:
    """A path with `/`, also of Windows; of a web address without its query."""
    return (re.split("[?#]", name)[0] if "://" in name else name).strip().replace("\\", "/")


def _fold(name: str) -> str:
    return name.casefold()


def _hidden(name: str) -> bool:
    """What file managers leave behind; `..` is told of when it is asked for."""
    return name == "__MACOSX" or (name.startswith(".") and name != "..")


def _below(key: str, folder: str) -> bool:
    return not folder or key == folder or key.startswith(f"{folder}/")


def _narrowed(found: Sequence[str], wanted: str, near: str, split: str) -> list[str]:
    chosen = list(found)
    parts = wanted.casefold().split("/")[::-1]
    agreeing = {key: _agreeing(parts, key.casefold().split("/")[::-1]) for key in chosen}
    most = max(agreeing.values(), default=0)
    rules: list[Callable[[str], bool]] = [
        lambda key: agreeing[key] == most,
        lambda key: _below(key, near),
        lambda key: bool(split) and split in map(split_of, key.split("/")),
        lambda key: ".zip/" not in key.casefold(),
    ]
    for keep in rules:
        if len(chosen) > 1:
            chosen = [key for key in chosen if keep(key)] or chosen
    return chosen


def _agreeing(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of folders, from the file upwards, in which two paths agree."""
    pairs = zip(one[1:], other[1:], strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)) - 1)
