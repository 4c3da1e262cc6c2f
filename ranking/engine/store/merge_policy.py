"""Which segments are merged after feeding and removing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.engine.reader import IndexReader
from ranking.engine.segment.segment import Segment
from ranking.types import Document

__all__ = ["Part", "merged", "without"]

Part = tuple[Segment, NDArray[np.bool_] | None]

MOST_SEGMENTS = 8


def without(reader: IndexReader, numbers: Sequence[int]) -> list[Part]:
    """Return the reader's segments with the documents of these numbers marked as removed."""
    parts: list[Part] = []
    removed = np.sort(np.asarray(numbers, np.int64))
    for place, (segment, alive) in enumerate(reader.parts):
        first, last = np.searchsorted(removed, reader.offsets[place : place + 2])
        kept = alive
        if last > first:
            kept = np.ones(len(segment), np.bool_) if alive is None else alive.copy()
            kept[removed[first:last] - reader.offsets[place]] = False
        if kept is None or kept.any() or len(reader.parts) == 1:
            parts.append((segment, None if kept is None or kept.all() else kept))
    return parts


def merged(parts: Sequence[Part], make: Callable[[Sequence[Document]], Segment]) -> list[Part]:
    """Join the smaller half of the segments into one where there are more than eight.

    The largest are left alone, so that the cost of a change stays that of its own documents:
    each is rewritten about log(documents) times in all.
    """
    if len(parts) <= MOST_SEGMENTS:
        return list(parts)
    by_size = sorted(parts, key=lambda part: len(part[0]))
    small, large = by_size[: MOST_SEGMENTS // 2], by_size[MOST_SEGMENTS // 2 :]
    documents = [
        segment.document(number, with_vectors=True)
        for segment, alive in small
        for number in range(len(segment))
        if alive is None or alive[number]
    ]
    return [*reversed(large), (make(documents), None)]
