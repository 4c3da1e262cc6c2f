"""The inverted index and BM25, as Vespa computes it.

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
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.segment.strings import StringTable, string_arrays

__all__ = ["K1", "B", "Term", "Terms", "TextIndex", "idf", "text_arrays"]

K1 = 1.2
B = 0.75
MAX_FREQUENCY = np.iinfo(np.uint16).max
# Terms that at least one document in this number has get a row of bytes, one per document.
FREQUENT = 16
MOST_ROWS = 1024
SMALL = 4096
# Number of steps of a stored impact: for each posting, and for each document of a row.
POSTING_STEPS = 65535
ROW_STEPS = 255
GROUP = 64

Doubles = NDArray[np.float64]
Docs = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Term(NamedTuple):
    """A query's term in one segment: where its postings stand, its weight, its row or -1.

    weight: idf * (k1 + 1).
    """

    start: int
    end: int
    weight: float
    row: int


@dataclass(frozen=True)
class Terms:
    """A query's terms in one segment. average: the mean length over the whole index."""

    terms: Sequence[Term] = field(default=())
    average: float = 1.0


def idf(documents: int, with_term: int) -> float:
    """Vespa's inverse document frequency, never negative."""
    return float(np.log1p((documents - with_term + 0.5) / (with_term + 0.5)))


def norms(lengths: NDArray[np.uint32], average: float) -> Doubles:
    """k1 * (1 - b + b * |d| / average): float64 [len(lengths)]."""
    return K1 * ((1 - B) + B * lengths.astype(np.float64) / average)


def text_arrays(name: str, texts: Sequence[Sequence[str] | None]) -> dict[str, NDArray[Any]]:
    """Invert the tokens of one text field of each document (None: it has no such field).

    Postings stand by term, then by ascending document: `starts` int64 [terms + 1], `docs` uint32,
    `tfs` uint16, `impacts` uint16 [postings]; `lengths` uint32, `present` bool [documents].
    """
    numbers: dict[str, int] = {}
    # Flat from the start: a million captions have some fifteen million postings.
    terms, docs, tfs = array("I"), array("I"), array("H")
    for doc, tokens in enumerate(texts):
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
    arrays: dict[str, NDArray[Any]] = {
        "starts": starts,
        "docs": np.frombuffer(docs, np.uint32)[order],
        "tfs": np.frombuffer(tfs, np.uint16)[order],
        "lengths": np.asarray([len(tokens or ()) for tokens in texts], np.uint32),
        "present": np.asarray([tokens is not None for tokens in texts], np.bool_),
    }
    arrays |= _impacts(arrays)
    words = [term.encode("utf-8", "surrogatepass") for term in vocabulary]
    return {
        **string_arrays(f"text.{name}.terms", words),
        **{f"text.{name}.{key}": value for key, value in arrays.items()},
    }


def _impacts(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What each posting adds to BM25 at most, in the layout of ranking/engine/kernels/bm25.h.

    impacts: tf / (tf + norm) of every posting in steps, rounded up. Frequent terms have a row:
    `rows` int64 [rows], their numbers; `dense` uint8 [rows, documents, padded], every document's
    impact in steps, rounded up; `ranks` uint64 [rows, groups, 2], a bit for each of 64 documents,
    and how many bits are set before. average: the mean length that norms were computed with.
    """
    starts, docs, tfs, lengths = (arrays[name] for name in ("starts", "docs", "tfs", "lengths"))
    present = int(np.count_nonzero(arrays["present"]))
    average = float(lengths.sum(dtype=np.int64)) / present if present else 0.0
    impact = tfs / (tfs + norms(lengths, average or 1.0)[docs])
    impacts = np.minimum(np.ceil(POSTING_STEPS * impact), POSTING_STEPS).astype(np.uint16)
    sizes = np.diff(starts)
    frequent = np.flatnonzero(sizes >= len(lengths) / FREQUENT)
    if len(lengths) < SMALL:
        frequent = frequent[:0]
    frequent = frequent[np.argsort(-sizes[frequent], kind="stable")][:MOST_ROWS]
    groups = -(-len(lengths) // GROUP)
    dense = np.zeros((len(frequent), GROUP * groups), np.uint8)
    ranks = np.zeros((len(frequent), groups, 2), np.uint64)
    for row, term in enumerate(frequent):
        span = slice(starts[term], starts[term + 1])
        dense[row, docs[span]] = np.ceil(impacts[span] * (ROW_STEPS / POSTING_STEPS))
        ranks[row, :, 0] = np.packbits(dense[row] > 0, bitorder="little").view(np.uint64)
        ranks[row, 1:, 1] = np.cumsum(np.bitwise_count(ranks[row, :-1, 0]), dtype=np.uint64)
    return {
        "impacts": impacts,
        "rows": frequent.astype(np.int64),
        "dense": dense,
        "ranks": ranks,
        "average": np.array([average]),
    }


class TextIndex:
    """The inverted index of one text field of one segment; arrays as `text_arrays` names them."""

    def __init__(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._terms = StringTable(arrays, f"text.{name}.terms")
        self._name, self._arrays = name, arrays
        self._starts: memoryview = memoryview(self.array("starts"))  # type: ignore[arg-type]
        self._row_of = {n: row for row, n in enumerate(arrays[f"text.{name}.rows"].tolist())}
        self.native: Any = None
        """What ranking/engine/native.py keeps for it."""
        self._average = float(arrays[f"text.{name}.average"][0])

    def array(self, name: str) -> NDArray[Any]:
        """One of the arrays that `text_arrays` tells of."""
        return self._arrays[f"text.{self._name}.{name}"]

    @cached_property
    def docs(self) -> NDArray[np.uint32]:
        """Documents of all postings, by term, then ascending."""
        return self.array("docs")

    @cached_property
    def tfs(self) -> NDArray[np.uint16]:
        """How often the term stands in each posting's document."""
        return self.array("tfs")

    @cached_property
    def lengths(self) -> NDArray[np.uint32]:
        """Tokens of each document."""
        return self.array("lengths")

    @cached_property
    def present(self) -> Mask:
        """Which documents have the field: bool [documents]."""
        return self.array("present")

    def find(self, term: str) -> tuple[int, int, int]:
        """Return where the term's postings begin and end, and its row; (0, 0, -1) if unknown."""
        number = self._terms.find(term)
        if number < 0:
            return 0, 0, -1
        return self._starts[number], self._starts[number + 1], self._row_of.get(number, -1)

    def frequency(self, start: int, end: int, alive: Mask | None) -> int:
        """Count the documents of these postings that were not removed."""
        if alive is None:
            return end - start
        return int(np.count_nonzero(alive[self.docs[start:end]]))

    def having_all(self, terms: Sequence[str]) -> Mask:
        """Mark the documents with every one of the terms: bool [documents]."""
        mask = np.ones(len(self.lengths), np.bool_)
        for term in set(terms):
            start, end, _ = self.find(term)
            found = np.zeros(len(self.lengths), np.bool_)
            found[self.docs[start:end]] = True
            mask &= found
        return mask

    def stretch(self, average: float) -> float:
        """What impacts must be multiplied with to be bounds for this mean length.

        A norm falls, relatively, at most as the mean length rises.
        """
        return max(average / self._average, 1.0) if self._average else 1.0

    def scores(self, asked: Terms) -> Doubles:
        """BM25 of every document: float64 [documents], 0 where none of the terms is."""
        found = np.zeros(len(self.lengths))
        for start, end, weight, _ in asked.terms:
            docs = self.docs[start:end]
            tfs = self.tfs[start:end].astype(np.float64)
            found[docs] += weight * tfs / (tfs + norms(self.lengths[docs], asked.average))
        return found
