"""Named arrays in one file, read through one memory map.

    8 bytes   magic
    8 bytes   length of the header, little-endian
    header    JSON: name -> [dtype, shape, offset from the start of the file]
    arrays    C order, little-endian, each at a multiple of 64 bytes

A segment has some forty arrays: as one file it is written with one flush and opened with one map.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base.storage import new_file

__all__ = ["read_arrays", "write_arrays"]

MAGIC = b"rocoseg\x01"
ALIGNMENT = 64
BLOCK = 1 << 24
DTYPES = frozenset({"|u1", "|i1", "|b1", "<u2", "<u4", "<i4", "<i8", "<u8", "<f4", "<f8"})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` to `path` and flush them to disk.

    Raises OSError where that fails; the file is then to be thrown away.
    """
    header = _header(arrays)
    with new_file(path) as stream:
        stream.write(MAGIC + len(header).to_bytes(8, "little") + header)
        for array in arrays.values():
            stream.write(b"\0" * (-stream.tell() % ALIGNMENT))
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            for start in range(0, len(flat), BLOCK):
                stream.write(flat[start : start + BLOCK].data)


def _header(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Offsets count from the end of the header, whose own length they would change."""
    offset = 0
    entries = {}
    for name, array in arrays.items():
        offset += -offset % ALIGNMENT
        entries[name] = [array.dtype.str, list(array.shape), offset]
        offset += array.nbytes
    header = json.dumps(entries).encode()
    return header + b" " * (-(len(MAGIC) + 8 + len(header)) % ALIGNMENT)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file, read-only.

    Raises ValueError where the file is not one of these or is cut, OSError where it cannot be
    read.
    """
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    start = len(MAGIC) + 8
    if mapped[: len(MAGIC)] != MAGIC:
        raise ValueError("its first bytes are not those of a segment")
    begin = start + int.from_bytes(mapped[len(MAGIC) : start], "little")
    if begin > len(mapped):
        raise ValueError("it ends within its header")
    entries = json.loads(mapped[start:begin])
    return {name: _array(mapped, begin, *entry) for name, entry in entries.items()}


def _array(
    mapped: mmap.mmap, begin: int, dtype: str, shape: list[int], offset: int
) -> NDArray[Any]:
    if dtype not in DTYPES:
        raise ValueError(f"it holds an array of type {dtype}")
    count = math.prod(shape)
    # frombuffer checks that the array lies within the file.
    if count == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(mapped, dtype, count, begin + offset).reshape(shape)
