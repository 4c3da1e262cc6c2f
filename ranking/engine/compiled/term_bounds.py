"""What each posting of a segment adds to BM25 at most, laid out to be added up fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.part_kernels import fill_parts, fill_rows
from ranking.engine.compiled.term_kernels import Words

__all__ = ["NO_WORDS", "TermBounds", "packed", "term_bounds", "union_of"]

# Terms that one document in so many has get a row of bytes, one for each document.
FREQUENT = 16
MOST_ROWS = 1024
SMALL = 4096
# How far the mean length may drift before the parts are computed anew.
DRIFT = 1e-3

NO_WORDS: Words = np.empty(0, np.uint64)


@dataclass(frozen=True)
class TermBounds:
    """Parts of BM25, rounded up, as `ranking.engine.compiled.part_kernels` reads them.

    parts, rows, marks: the arrays of a `Lexicon`. row_of: where a frequent term's postings
    start -> its row. average: the mean length they were computed for.
    """

    parts: NDArray[np.uint16]
    rows: NDArray[np.uint8]
    marks: NDArray[np.uint64]
    row_of: Mapping[int, int]
    average: float

    def fits(self, average: float) -> bool:
        """Whether they serve for this mean length."""
        return abs(average - self.average) <= DRIFT * self.average

    def stretch(self, average: float) -> float:
        """What the parts must be multiplied with to be bounds for this mean length.

        A norm falls, relatively, at most as the mean length rises.
        """
        return max(average / self.average, 1.0) if self.average else 1.0


def term_bounds(
    docs: NDArray[np.uint32],
    tfs: NDArray[np.uint16],
    starts: NDArray[np.int64],
    norms: NDArray[np.float64],
    average: float,
) -> TermBounds:
    """Compute the parts of every posting; starts: int64 [terms + 1]."""
    parts = np.empty(len(docs), np.uint16)
    fill_parts(docs, tfs, norms, parts)
    sizes = np.diff(starts)
    frequent = np.flatnonzero(sizes >= len(norms) / FREQUENT) if len(norms) >= SMALL else sizes[:0]
    frequent = frequent[np.argsort(-sizes[frequent], kind="stable")][:MOST_ROWS]
    words = -(-len(norms) // 64)
    rows = np.zeros((len(frequent), 64 * words), np.uint8)
    marks = np.zeros((len(frequent), words, 2), np.uint64)
    first, last = starts[:-1][frequent], starts[1:][frequent]
    fill_rows((docs, parts), first, last, rows, marks)
    row_of = {start: row for row, start in enumerate(first.tolist())}
    return TermBounds(parts, rows, marks, row_of, average)


def packed(mask: NDArray[np.bool_]) -> Words:
    """A mask as bits of 64-bit words, the first document in the lowest bit."""
    bits = np.packbits(mask, bitorder="little")
    return np.pad(bits, (0, -len(bits) % 8)).view(np.uint64)


def union_of(masks: Sequence[Words]) -> Words:
    """Bits that are set in any of the masks, of which those without words have none."""
    some = [mask for mask in masks if len(mask)]
    if len(some) <= 1:
        return some[0] if some else NO_WORDS
    joined: Words = np.bitwise_or.reduce(some)
    return joined
