"""BM25 statistics and postings of one text field over all segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranking.engine.segment.postings import K1, Term, Terms, idf
from ranking.engine.segment.segment import Segment

__all__ = ["TermStatistics"]

CACHED_TERMS = 1 << 16


class TermStatistics:
    """One text field over segments, each with a mark for documents not removed, or None."""

    def __init__(
        self, field: str, parts: Sequence[tuple[Segment, NDArray[np.bool_] | None]]
    ) -> None:
        self._indexes = [(segment.texts[field], alive) for segment, alive in parts]
        self._known: dict[str, tuple[Term, ...]] = {}

    @cached_property
    def documents(self) -> int:
        """How many documents can be found."""
        return sum(
            len(index.lengths) if alive is None else int(np.count_nonzero(alive))
            for index, alive in self._indexes
        )

    @cached_property
    def average_length(self) -> float:
        """Mean number of tokens over the documents that have the field."""
        tokens = documents = 0
        for index, alive in self._indexes:
            counted = index.present if alive is None else index.present & alive
            tokens += int(index.lengths.sum(where=counted, dtype=np.int64))
            documents += int(np.count_nonzero(counted))
        return tokens / documents if documents else 0.0

    def terms(
        self, words: Sequence[str], weights: Mapping[str, float] | None = None
    ) -> list[Terms]:
        """The words as each segment has them; weights: of those that do not count in full."""
        found = [self._known.get(word) or self._find(word) for word in words]
        if weights:
            shares = [weights.get(word, 1.0) for word in words]
            found = [
                tuple(term._replace(weight=share * term.weight) for term in each)
                for each, share in zip(found, shares, strict=True)
            ]
        average = self.average_length or 1.0
        return [
            Terms([term[place] for term in found], average) for place in range(len(self._indexes))
        ]

    def known(self, words: Sequence[str]) -> bool:
        """Whether any document has one of the words."""
        found = (self._known.get(word) or self._find(word) for word in words)
        return any(term.end > term.start for word in found for term in word)

    def _find(self, word: str) -> tuple[Term, ...]:
        spans = [index.find(word) for index, _ in self._indexes]
        frequency = sum(
            index.frequency(start, end, alive)
            for (start, end, _), (index, alive) in zip(spans, self._indexes, strict=True)
        )
        weight = idf(self.documents, frequency) * (K1 + 1)
        found = tuple(Term(start, end, weight, row) for start, end, row in spans)
        if len(self._known) < CACHED_TERMS:
            self._known[word] = found
        return found
