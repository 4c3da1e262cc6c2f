"""How fast an engine's codes are scanned, beside how fast this machine reads memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from ranking.engine.compiled.kernels import scan_codes

from ranking.engine.engine import EmbeddedEngine

__all__ = ["scan_rates"]

GIB = 2**30
ROUNDS = 7


@numba.njit(nogil=True)
def read_all(words: NDArray[np.int64]) -> int:
    """Read every word once; all it costs is the memory."""
    found = np.int64(0)
    for word in words:
        found ^= word
    return int(found)


def scan_rates(engine: EmbeddedEngine) -> dict[str, float]:
    """GiB/s of reading memory with one thread and with two, and of scanning the index's codes.

    Also of scanning codes of all 512 components, as many bytes as the largest cache does not hold.
    """
    words = np.ones(GIB // 16, np.int64)
    index = engine._view.parts[0][0].vectors["embedding"]
    assert index.sketch is not None
    wide = np.ones((2**14, 512, 64), np.int8)
    return {
        "memory_gib_s": rate(lambda: read_all(words), words.nbytes),
        "memory_gib_s_2": rate(lambda: in_two(read_all, words), words.nbytes),
        "codes_gib_s": rate(scanning(index.sketch.codes), index.sketch.codes.nbytes),
        "wide_codes_gib_s": rate(scanning(wide), wide.nbytes),
    }


def scanning(codes: NDArray[np.int8]) -> Callable[[], object]:
    """A scan of all codes."""
    query = np.ones(codes.shape[1], np.int8)
    out = np.empty(64 * len(codes), np.int32)
    return lambda: scan_codes(codes, query, out)


def in_two(work: Callable[[Any], object], words: NDArray[np.int64]) -> None:
    """Let two threads work on half of the words each."""
    half = len(words) // 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (words[:half], words[half:])))


def rate(work: Callable[[], object], size: int) -> float:
    """GiB/s of the fastest round."""
    work()
    fastest = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return size / GIB / fastest
