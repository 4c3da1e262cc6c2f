"""BM25 as Vespa computes it, over an inverted index in flat arrays.

    score(d) = sum over query terms t of
        idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * |d| / average))
    idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5))

N counts all documents, n those with the term; `average` is the mean length over the documents
that have the field, an empty one included. A term that stands twice in a query counts twice.
Source: https://docs.vespa.ai/en/ranking/bm25.html, and measured on a server (docs/engine.md).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.kernels import add_bm25
from ranking.engine.compiled.term_bounds import TermBounds, term_bounds
from ranking.engine.segment.strings import StringTable, string_arrays

__all__ = ["K1", "B", "LexicalIndex", "Statistics", "idf", "lexical_arrays"]

K1 = 1.2
B = 0.75
MAX_FREQUENCY = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Statistics:
    """What BM25 needs to know of all documents: N, and the mean length."""

    documents: int
    average_length: float


def idf(documents: int, with_term: int) -> float:
    """Vespa's inverse document frequency, never negative."""
    return float(np.log1p((documents - with_term + 0.5) / (with_term + 0.5)))


def lexical_arrays(captions: Sequence[Sequence[str] | None]) -> dict[str, NDArray[Any]]:
    """Invert the tokens of each document (None: it has no caption field).

    Postings stand by term, then by ascending document: `postings.starts` int64 [terms + 1],
    `postings.docs` uint32, `postings.tfs` uint16 [postings]; `lengths` uint32 [documents].
    """
    numbers: dict[str, int] = {}
    # Flat from the start: a million captions have some fifteen million postings.
    terms, docs, tfs = array("I"), array("I"), array("H")
    for doc, tokens in enumerate(captions):
        counted = Counter(tokens or ())
        terms.extend([numbers.setdefault(term, len(numbers)) for term in counted])
        docs.extend([doc] * len(counted))
        tfs.extend([min(tf, MAX_FREQUENCY) for tf in counted.values()])
    vocabulary = sorted(numbers)
    place = np.empty(len(numbers), np.int64)
    place[[numbers[term] for term in vocabulary]] = np.arange(len(numbers))
    by_place = place[np.frombuffer(terms, np.uint32)]
    order = np.argsort(by_place, kind="stable")
    starts = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(np.bincount(by_place, minlength=len(numbers)), out=starts[1:])
    return {
        **string_arrays("terms", [term.encode("utf-8", "surrogatepass") for term in vocabulary]),
        "postings.starts": starts,
        "postings.docs": np.frombuffer(docs, np.uint32)[order],
        "postings.tfs": np.frombuffer(tfs, np.uint16)[order],
        "lengths": np.asarray([len(tokens or ()) for tokens in captions], np.uint32),
        "captioned": np.asarray([tokens is not None for tokens in captions], np.bool_),
    }


class LexicalIndex:
    """The inverted index of one segment."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._terms = StringTable(arrays, "terms")
        self._starts: memoryview = memoryview(arrays["postings.starts"])  # type: ignore[arg-type]
        self.docs = arrays["postings.docs"]
        self.tfs = arrays["postings.tfs"]
        self.lengths = arrays["lengths"]
        self.captioned = arrays["captioned"]
        self._all_starts = arrays["postings.starts"]
        self._bounds: TermBounds | None = None

    def postings(self, term: str) -> tuple[int, int]:
        """Return where the term's postings begin and end; (0, 0) for an unknown term."""
        number = self._terms.find(term)
        return (0, 0) if number < 0 else (self._starts[number], self._starts[number + 1])

    def frequency(self, span: tuple[int, int], alive: NDArray[np.bool_] | None) -> int:
        """Count the documents of a term's postings that were not removed."""
        if alive is None:
            return span[1] - span[0]
        return int(np.count_nonzero(alive[self.docs[slice(*span)]]))

    def having_all(self, terms: Sequence[str]) -> NDArray[np.bool_]:
        """Mark the documents with every one of the terms: bool [documents]."""
        mask = np.ones(len(self.lengths), np.bool_)
        for term in set(terms):
            found = np.zeros(len(self.lengths), np.bool_)
            found[self.docs[slice(*self.postings(term))]] = True
            mask &= found
        return mask

    def norms(self, average_length: float) -> NDArray[np.float64]:
        """k1 * (1 - b + b * |d| / average) for each document, float64 [documents]."""
        return K1 * (1 - B + B * self.lengths.astype(np.float64) / (average_length or 1.0))

    def bounds(self, norms: NDArray[np.float64], average_length: float) -> TermBounds:
        """What each posting adds at most, for norms of this mean length or nearly this."""
        if self._bounds is None or not self._bounds.fits(average_length):
            self._bounds = term_bounds(self.docs, self.tfs, self._all_starts, norms, average_length)
        return self._bounds

    def score(
        self,
        spans: Sequence[tuple[int, int]],
        idfs: Sequence[float],
        norms: NDArray[np.float64],
        out: NDArray[np.float64],
    ) -> None:
        """Add each document's score for the terms at `spans` to `out` float64 [documents]."""
        if not spans:
            return
        bounds = np.asarray(spans, np.int64)
        weights = np.asarray(idfs) * (K1 + 1)
        add_bm25(self.docs, self.tfs, bounds[:, 0], bounds[:, 1], weights, norms, out)
