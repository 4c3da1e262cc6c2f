"""Images by name, in zip archives and folders, read without trusting what the archive says."""

from __future__ import annotations

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Self

from ingest.corpus.images import MAX_IMAGE_BYTES, ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.files import IMAGE_SUFFIXES, read_image

__all__ = ["ImageFiles", "distrusted", "open_archive", "read_member"]

# Images are compressed already: a JPEG in a zip shrinks to 95 %, a flat 16-bit TIFF to 1 %.
MAX_RATIO = 200
RATIO_MATTERS_FROM = 1 << 20


class ImageFiles:
    """Images found in archives and folders, each by the stem of its name; nothing is extracted.

    `rejections` lists members that can not be used, found while the archives were opened.
    Raises CorpusError where a file named .zip is no complete zip archive.
    """

    def __init__(self, archives: list[Path], folders: list[Path]) -> None:
        self.rejections: list[Rejection] = []
        self._unused: dict[str, str] = {}
        self._members: dict[str, tuple[zipfile.ZipFile, zipfile.ZipInfo]] = {}
        self._files: dict[str, tuple[Path, str]] = {}
        self._broken: dict[str, ImageRejectedError] = {}
        self._archives = [open_archive(path) for path in archives]
        for archive in self._archives:
            for member in archive.infolist():
                self._add_member(archive, member)
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    name = path.relative_to(folder).as_posix()
                    if self._claim(path.stem, f"{folder.name}/{name}"):
                        self._files[path.stem] = folder, name

    def __enter__(self) -> Self:
        """Return itself; the archives are closed on exit."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the archives."""
        for archive in self._archives:
            archive.close()

    def __len__(self) -> int:
        """Return the number of images found, usable or not."""
        return len(self._members) + len(self._files) + len(self._broken)

    def read(self, stem: str) -> tuple[str, bytes]:
        """Name and bytes of the image; raises ImageRejectedError where it cannot be read."""
        self._unused.pop(stem, None)
        if stem in self._broken:
            raise self._broken[stem]
        if stem in self._members:
            archive, member = self._members[stem]
            return member.filename, read_member(archive, member)
        if stem in self._files:
            folder, name = self._files[stem]
            return name, read_image(folder, name)
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"no image named {stem}")

    def unused(self) -> Iterator[Rejection]:
        """Images that no row asked for."""
        for stem, file in self._unused.items():
            yield Rejection(Reason.UNUSED_FILE, file, id=stem)

    def _add_member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if member.is_dir() or name.suffix.lower() not in IMAGE_SUFFIXES:
            return
        if not self._claim(name.stem, f"{Path(archive.filename or '').name}:{member.filename}"):
            return
        problem = distrusted(member)
        if problem is None:
            self._members[name.stem] = archive, member
        else:
            self._broken[name.stem] = problem

    def _claim(self, stem: str, file: str) -> bool:
        if stem in self._unused:
            self.rejections.append(
                Rejection(Reason.UNUSED_FILE, file, id=stem, detail="another image has this name")
            )
            return False
        self._unused[stem] = file
        return True


# What zipfile raises of an archive whose bytes were changed; it documents only the first.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive; raises CorpusError where it is not a whole one."""
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise CorpusError(
            f"{path} is not a complete zip archive ({error}): download it again."
        ) from None


def distrusted(member: zipfile.ZipInfo) -> ImageRejectedError | None:
    """Why a member must not be read, judged by the archive's directory alone."""
    name = member.filename
    if (
        ".." in PurePosixPath(name.replace("\\", "/")).parts
        or name.startswith(("/", "\\"))
        or PureWindowsPath(name).drive
        or stat.S_ISLNK(member.external_attr >> 16)
    ):
        return ImageRejectedError(Reason.UNSAFE_PATH, f"{name} leads out of the archive")
    if member.flag_bits & 0x1:
        return ImageRejectedError(Reason.UNUSABLE_IMAGE, f"{name} is encrypted")
    ratio = member.file_size / max(member.compress_size, 1)
    bomb = member.file_size > RATIO_MATTERS_FROM and ratio > MAX_RATIO
    if bomb or member.file_size > MAX_IMAGE_BYTES:
        return ImageRejectedError(
            Reason.UNUSABLE_IMAGE,
            f"{name} would unpack from {member.compress_size:,} to {member.file_size:,} bytes",
        )
    return None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Bytes of a member that is not `distrusted`; raises ImageRejectedError."""
    try:
        with archive.open(member) as stream:
            # The directory may understate the size: never read more than it says.
            data = stream.read(member.file_size + 1)
    except _DAMAGED as error:
        raise ImageRejectedError(
            Reason.UNUSABLE_IMAGE, f"{member.filename} is damaged: {error}"
        ) from None
    if len(data) > member.file_size:
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, f"{member.filename} is larger than it says")
    return data
