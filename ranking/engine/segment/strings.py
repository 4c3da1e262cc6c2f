"""A sorted string table in two memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StringTable", "string_arrays"]


def string_arrays(name: str, values: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Lay `values` end to end: `NAME.bytes` uint8 [total] and `NAME.starts` int64 [n + 1]."""
    starts = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(value) for value in values], out=starts[1:])
    return {f"{name}.bytes": np.frombuffer(b"".join(values), np.uint8), f"{name}.starts": starts}


class StringTable:
    """Strings by number; where they were laid out sorted, numbers by string.

    Sorted means by UTF-8 bytes, which is the order of Python's own strings.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], name: str) -> None:
        self._bytes = memoryview(arrays[f"{name}.bytes"])  # type: ignore[arg-type]
        # A memoryview gives a Python int three times as fast as an array does.
        self._starts = memoryview(arrays[f"{name}.starts"])  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Return how many strings there are."""
        return len(self._starts) - 1

    def raw(self, number: int) -> bytes:
        """Return the bytes of one string."""
        return self._bytes[self._starts[number] : self._starts[number + 1]].tobytes()

    def __getitem__(self, number: int) -> str:
        """Return one string."""
        return str(self._bytes[self._starts[number] : self._starts[number + 1]], "utf-8")

    def __iter__(self) -> Iterator[str]:
        """Iterate in order of number."""
        return (self[number] for number in range(len(self)))

    def find(self, value: str) -> int:
        """Return the number of `value`, or -1 where the table has none. O(log n)."""
        if not isinstance(value, str):  # of a caller whose types nobody checked
            return -1
        wanted = value.encode("utf-8", "surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.raw(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.raw(low) == wanted else -1
