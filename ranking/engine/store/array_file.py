"""Named arrays in one memory-mapped file, with a checksum for each block.

    8 bytes   magic
    8 bytes   length of the header, little-endian
    8 bytes   checksum of the header
    header    JSON: name -> [dtype, shape, offset from the end of the header, checksums]
    arrays    C order, little-endian, each at a multiple of 64 bytes

A segment has some forty arrays: as one file it is written with one flush and opened with one map.
An array is checked when it is first asked for, block by block; opening reads the header alone.
Pages that only the check read are given back at once, so they take no memory. The checksum is
xxHash's XXH3 of 64 bits, which takes a sixth of a nanosecond a byte
(https://github.com/Cyan4973/xxHash).
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from encoders.base.storage import new_file

__all__ = ["StoredArrays", "read_arrays", "write_arrays"]

MAGIC = b"rocoseg\x02"
FIXED = len(MAGIC) + 16  # bytes before the header
ALIGNMENT = 64
BLOCK = 1 << 20
DTYPES = frozenset({"|u1", "|i1", "|b1", "<u2", "<u4", "<i4", "<i8", "<u8", "<f4", "<f8"})


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` to `path` and flush them to disk.

    Raises OSError if that fails; the file is then to be thrown away.
    """
    header = _header(arrays)
    length = len(header).to_bytes(8, "little")
    with new_file(path) as stream:
        stream.write(MAGIC + length + xxhash.xxh3_64_digest(header) + header)
        for array in arrays.values():
            stream.write(b"\0" * (-stream.tell() % ALIGNMENT))
            for block in _blocks(array):
                stream.write(block)


def _blocks(array: NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of an array, a block at a time."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return (flat[start : start + BLOCK].data for start in range(0, len(flat), BLOCK))


def _checksums(array: NDArray[Any], give_back: Callable[[], object] = lambda: None) -> str:
    """One after another; `give_back` is called after each block."""
    checksums = []
    for block in _blocks(array):
        checksums.append(xxhash.xxh3_64_hexdigest(block))
        give_back()
    return "".join(checksums)


def _header(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Offsets count from the end of the header, whose own length they would change."""
    offset = 0
    entries = {}
    for name, array in arrays.items():
        offset += -offset % ALIGNMENT
        entries[name] = [array.dtype.str, list(array.shape), offset, _checksums(array)]
        offset += array.nbytes
    header = json.dumps(entries).encode()
    return header + b" " * (-(FIXED + len(header)) % ALIGNMENT)


def read_arrays(path: Path, damaged: Callable[[str], Exception]) -> StoredArrays:
    """Map the arrays of a file, read-only.

    damaged: makes the error that is raised where the file turns out to be damaged, now or when an
    array is asked for. Raises OSError if it cannot be read.
    """
    with path.open("rb") as stream:
        if not path.stat().st_size:
            raise damaged("it is empty")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[: len(MAGIC)] != MAGIC:
        raise damaged("its first bytes are not those of a segment")
    end = FIXED + int.from_bytes(mapped[len(MAGIC) : len(MAGIC) + 8], "little")
    header = mapped[FIXED:end]
    if xxhash.xxh3_64_digest(header) != mapped[FIXED - 8 : FIXED]:
        raise damaged("its header was changed")
    entries = json.loads(header)
    arrays = {name: _array(mapped, end, *entry[:3]) for name, entry in entries.items()}
    checksums = {name: entry[3] for name, entry in entries.items()}
    return StoredArrays(arrays, checksums, damaged, _give_back(mapped))


def _give_back(mapped: mmap.mmap) -> Callable[[], object]:
    """What lets all pages go, where the system can: the next use takes them from its cache."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return lambda: None
    return lambda: mapped.madvise(mmap.MADV_DONTNEED)


def _array(
    mapped: mmap.mmap, begin: int, dtype: str, shape: list[int], offset: int
) -> NDArray[Any]:
    if dtype not in DTYPES:
        raise ValueError(f"it has an array of type {dtype}")
    count = math.prod(shape)
    # frombuffer checks that the array lies within the file.
    if count == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(mapped, dtype, count, begin + offset).reshape(shape)


class StoredArrays(Mapping[str, NDArray[Any]]):
    """Arrays by name; each is read through and compared with its checksums when first asked for."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        checksums: Mapping[str, str],
        damaged: Callable[[str], Exception],
        give_back: Callable[[], object],
    ) -> None:
        """Take arrays, their blocks' checksums in hexadecimal, what makes an error, what frees."""
        self._arrays = arrays
        self._unchecked = dict(checksums)
        self._damaged = damaged
        self._give_back = give_back

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return one array. Raises what `damaged` makes where a byte of it was changed."""
        array = self._arrays[name]
        expected = self._unchecked.get(name)
        if expected is not None:
            if _checksums(array, self._give_back) != expected:
                raise self._damaged(f"the checksums of {name} do not match")
            self._unchecked.pop(name, None)  # another thread may have checked it too
        return array

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names; nothing is checked."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._arrays)
