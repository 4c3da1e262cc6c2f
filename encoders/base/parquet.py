"""Parquet files of which every part has a checksum.

Pages have their own (CRC-32), but the footer, which names and places the columns, has none in the
format. So its checksum (XXH3) is written before it, where readers find no page and do not look:

    pages, MARK, 8 bytes of checksum, footer, length of the footer (4 bytes), PAR1

A file without the mark is another program's, or an older version's, and is read as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

__all__ = ["CHECKED", "check_footer", "seal", "write_parquet"]

MARK = b"rocofoot"
CHECKED: dict[str, Any] = {"write_page_checksum": True}  # of a writer
_END = 8  # bytes: length and magic
_SEAL = len(MARK) + 8


def write_parquet(table: pa.Table, path: Path, **settings: Any) -> None:  # noqa: ANN401
    """Write a table; settings are those of `pyarrow.parquet.write_table`."""
    pq.write_table(table, path, **CHECKED, **settings)
    seal(path)


def seal(path: Path) -> None:
    """Put the checksum of its footer into a file that has just been written."""
    with path.open("r+b") as stream:
        place, footer, end = _footer(stream.fileno())
        stream.seek(place)
        stream.write(MARK + xxhash.xxh3_64_digest(footer) + footer + end)


def check_footer(path: Path) -> None:
    """Raise OSError if the footer is not the one that was sealed, or cannot be read."""
    with path.open("rb") as stream:
        place, footer, _ = _footer(stream.fileno())
        sealed = os.pread(stream.fileno(), _SEAL, place - _SEAL) if place >= _SEAL else b""
    if sealed.startswith(MARK) and sealed[len(MARK) :] != xxhash.xxh3_64_digest(footer):
        raise OSError("its footer was changed")


def _footer(descriptor: int) -> tuple[int, bytes, bytes]:
    """Where it begins, the footer, and what follows it."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, _END, max(0, size - _END))
    place = size - _END - int.from_bytes(end[:4], "little")
    if size < _END or place < 0:
        raise OSError("it has no footer")
    return place, os.pread(descriptor, size - _END - place, place), end
