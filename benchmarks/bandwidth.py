"""What an engine's codes save, and how fast they are scanned beside how fast memory is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.engine.engine import EmbeddedEngine
from ranking.engine.kernels import _core
from ranking.engine.segment.codes import Codes

__all__ = ["code_savings", "scan_rates"]

GIB = 2**30
ROUNDS = 7


def read_all(words: NDArray[np.int64]) -> int:
    """Read every word once; all it costs is the memory."""
    return int(np.bitwise_xor.reduce(words))


def scan_rates(engine: EmbeddedEngine) -> dict[str, float]:
    """GiB/s of reading memory with one thread and with two, and of scanning the index's codes.

    Also of scanning codes of all 512 components, as many bytes as the largest cache does not hold.
    """
    words = np.ones(GIB // 16, np.int64)
    codes = engine._reader.parts[0][0].vectors["embedding"].codes
    assert codes is not None
    random = np.random.default_rng(0)
    wide = Codes(
        np.empty((0, 512), np.float32),
        random.integers(1, 128, (2**14, 128, 64, 4)).astype(np.uint8),
        np.array([63.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        np.empty(0, np.float32),
    )
    return {
        "memory_gib_s": rate(lambda: read_all(words), words.nbytes),
        "memory_gib_s_2": rate(lambda: in_two(read_all, words), words.nbytes),
        "codes_gib_s": rate(scanning(codes), codes.blocks.nbytes),
        "wide_codes_gib_s": rate(scanning(wide), wide.blocks.nbytes),
    }


def code_savings(
    engine: EmbeddedEngine, queries: Sequence[NDArray[np.float32]], k: int
) -> dict[str, float]:
    """The k nearest by codes, and by comparing every vector: medians, in milliseconds.

    Also how many components the codes keep, and how many vectors are compared on the average.
    """
    index = engine._reader.parts[0][0].vectors["embedding"]
    codes = index.codes
    assert codes is not None
    size = len(index.stored)
    vectors = _core.Vectors(index.stored, index.present, index.squares, 2)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, size)
    clock, every, compared = [], [], []
    for query in queries:
        start = time.perf_counter()
        *_, scan = _core.nearest(vectors, coded, query, None, k)
        between = time.perf_counter()
        _core.nearest(vectors, None, query, None, k)
        clock.append(between - start)
        every.append(time.perf_counter() - between)
        compared.append(scan.compared)
    return {
        "code_components": len(codes.basis) or codes.basis.shape[1],
        "compared": float(np.mean(compared)),
        "scan_ms": 1000 * float(np.median(clock)),
        "without_codes_ms": 1000 * float(np.median(every)),
    }


def scanning(codes: Codes) -> Callable[[], object]:
    """A scan of all codes, of which the best one's vector is compared."""
    size = 64 * len(codes.blocks)
    if len(codes.residuals):
        size = len(codes.residuals)
    dimension = codes.basis.shape[1]
    vectors = _core.Vectors(np.ones((size, dimension), np.int8), np.ones(size, np.bool_), None, 2)
    coded = _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, size)
    query = np.random.default_rng(1).standard_normal(dimension).astype(np.float32)
    return lambda: _core.nearest(vectors, coded, query, None, 1)


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
