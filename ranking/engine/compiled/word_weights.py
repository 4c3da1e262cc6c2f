"""What words weigh over all segments of a view: BM25's statistics, and each term's postings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.term_bounds import TermBounds
from ranking.engine.compiled.term_kernels import Lexicon
from ranking.engine.segment.postings import K1, Statistics, idf
from ranking.engine.segment.segment import Segment

__all__ = ["Laid", "WordWeights"]

Part = tuple[Segment, NDArray[np.bool_] | None]
Span = tuple[int, int]

CACHED_TERMS = 1 << 16


class Laid(NamedTuple):
    """Terms in one segment, side by side, as a `Lexicon` has them.

    starts, ends: where their postings stand, int64 [n]; weights: float64 [n]; rows: int64 [n].
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    weights: NDArray[np.float64]
    rows: NDArray[np.int64]


class WordWeights:
    """BM25 over segments, each with a mark for the documents that were not removed, or None."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._terms: dict[str, tuple[tuple[Span, ...], float]] = {}
        self._laid: list[dict[str, tuple[float, float, float, float]]] = [{} for _ in parts]

    @cached_property
    def statistics(self) -> Statistics:
        """N and the mean caption length, over the documents that can be found."""
        documents = total = captions = 0
        for segment, alive in self._parts:
            captioned = segment.lexical.captioned
            counted = captioned if alive is None else captioned & alive
            documents += len(segment) if alive is None else int(np.count_nonzero(alive))
            total += int(segment.lexical.lengths.sum(where=counted, dtype=np.int64))
            captions += int(np.count_nonzero(counted))
        return Statistics(documents, total / captions if captions else 0.0)

    @cached_property
    def norms(self) -> tuple[NDArray[np.float64], ...]:
        """BM25's length norms for each segment."""
        average = self.statistics.average_length
        return tuple(segment.lexical.norms(average) for segment, _ in self._parts)

    @cached_property
    def bounds(self) -> tuple[TermBounds, ...]:
        """For each segment, what its postings add to BM25 at most."""
        average = self.statistics.average_length
        return tuple(
            segment.lexical.bounds(norms, average)
            for (segment, _), norms in zip(self._parts, self.norms, strict=True)
        )

    def bm25(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """BM25 of every document for these terms: float64 [documents], 0 where none matches."""
        found = [self._term(term) for term in terms]
        idfs = [weight for _, weight in found]
        ends = list(accumulate((len(segment) for segment, _ in self._parts), initial=0))
        scores = np.zeros(ends[-1])
        for place, (segment, _) in enumerate(self._parts):
            spans = [spans[place] for spans, _ in found]
            out = scores[ends[place] : ends[place + 1]]
            segment.lexical.score(spans, idfs, self.norms[place], out)
        return scores

    def lexicons(self, terms: Sequence[str]) -> list[Lexicon]:
        """Each segment's postings with what is to be known of these terms."""
        average = self.statistics.average_length
        parts = []
        for place, (segment, _) in enumerate(self._parts):
            bounds, laid = self.bounds[place], self.laid(terms, place)
            lexicon = Lexicon(
                segment.lexical.docs,
                segment.lexical.tfs,
                bounds.parts,
                self.norms[place],
                bounds.rows,
                bounds.marks,
                *laid,
                bounds.stretch(average),
            )
            parts.append(lexicon)
        return parts

    def laid(self, terms: Sequence[str], place: int) -> Laid:
        """These terms in the segment at `place`."""
        known = self._laid[place]
        found = [known.get(term) or self._lay(term, place) for term in terms]
        columns = np.array(found, np.float64).reshape(-1, 4).T.copy()
        starts, ends, rows = columns[[0, 1, 3]].astype(np.int64)
        return Laid(starts, ends, columns[2], rows)

    def _lay(self, term: str, place: int) -> tuple[float, float, float, float]:
        spans, weight = self._term(term)
        start, end = spans[place]
        row = self.bounds[place].row_of.get(start, -1) if start < end else -1
        laid = start, end, weight * (K1 + 1), row
        if len(self._laid[place]) < CACHED_TERMS:
            self._laid[place][term] = laid
        return laid

    def _term(self, term: str) -> tuple[tuple[Span, ...], float]:
        """Return where the term's postings stand in each segment, and its idf."""
        known = self._terms.get(term)
        if known is None:
            spans = tuple(segment.lexical.postings(term) for segment, _ in self._parts)
            frequency = sum(
                segment.lexical.frequency(span, alive)
                for span, (segment, alive) in zip(spans, self._parts, strict=True)
            )
            known = spans, idf(self.statistics.documents, frequency)
            if len(self._terms) < CACHED_TERMS:
                self._terms[term] = known
        return known
