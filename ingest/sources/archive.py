"""Read members of untrusted zip archives."""

from __future__ import annotations

import lzma
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from encoders.base.arguments import is_endless
from ingest.corpus.images import MAX_IMAGE_BYTES, ImageRejectedError
from ingest.corpus.records import CorpusError, Reason

__all__ = ["distrusted", "open_archive", "read_member", "regular"]

# Images are compressed already: a JPEG in a zip shrinks to 95 %, a flat 16-bit TIFF to 1 %.
MAX_RATIO = 200
RATIO_MATTERS_FROM = 1 << 20


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


def regular(path: Path) -> Path:
    """The path, unless reading it might never end."""
    if is_endless(path):
        raise CorpusError(
            f"{path} is a pipe or a device, not a file: take it out of the data set's folder."
        )
    return path


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive; raises CorpusError if it is not a whole one."""
    try:
        return zipfile.ZipFile(regular(path))
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
        return ImageRejectedError(Reason.UNSAFE_PATH, f"{name} points outside the archive")
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
