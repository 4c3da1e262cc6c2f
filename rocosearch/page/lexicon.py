"""Words and concepts of a corpus, for completion."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.corpus.corpus import Corpus
    from ranking.engine.engine import EmbeddedEngine

__all__ = ["Lexicon"]

_WORD = re.compile(r"[^\W\d_][\w-]{2,}")
SHOWN = 8
LEAST = 2
"""Minimum document frequency of a word: words in one document are often misspelt."""


class Lexicon:
    """Sorted terms, each with its document frequency."""

    def __init__(self, documents: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Count the words of captions and the concept names, once per document."""
        counts: Counter[str] = Counter()
        for caption, concepts in documents:
            terms = {word.lower() for word in _WORD.findall(caption)}
            counts.update(terms.union(concept.lower() for concept in concepts))
        self._terms = sorted(term for term, count in counts.items() if count >= LEAST)
        self._counts = [counts[term] for term in self._terms]

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> Lexicon:
        """The words of all records."""
        rows = corpus.rows(["caption", "concept_names"])
        return cls((row["caption"] or "", row["concept_names"] or ()) for row in rows)

    @classmethod
    def of_index(cls, engine: EmbeddedEngine) -> Lexicon:
        """The words of all documents."""
        return cls((each.caption or "", each.concept_names) for each in engine.documents())

    def __len__(self) -> int:
        """Return the number of terms."""
        return len(self._terms)

    def complete(self, prefix: str, most: int = SHOWN) -> list[tuple[str, int]]:
        """Longer terms with this prefix, the most frequent first."""
        start = prefix.lower()
        first = bisect_left(self._terms, start)
        last = bisect_left(self._terms, start + "\U0010ffff", first)
        found = zip(self._counts[first:last], self._terms[first:last], strict=True)
        ranked = sorted(((-count, term) for count, term in found if term != start))
        return [(term, -count) for count, term in ranked[:most]]
