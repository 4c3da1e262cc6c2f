"""Find the texts that contain a phrase."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

__all__ = ["STOP_WORDS", "Phrases", "rare"]

# Lucene's English stop words (org.apache.lucene.analysis.en.EnglishAnalyzer).
STOP_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it"}
    | {"no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these"}
    | {"they", "this", "to", "was", "will", "with"}
)


class Phrases:
    """Normalised texts (`normal_caption`), to look phrases up in."""

    def __init__(self, normalised: Sequence[str]) -> None:
        self._padded = [f" {text} " for text in normalised]
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(normalised):
            for word in set(text.split()):
                self._holding[word].append(row)
        self._known: dict[str, list[int]] = {}

    def holders(self, phrase: str) -> list[int]:
        """Numbers of the texts that hold the normalised phrase, ascending; of "" none.

        >>> Phrases(["axial ct of the lung", "ct", "lung ct"]).holders("ct")
        [0, 1, 2]
        """
        found = self._known.get(phrase)
        if found is None:
            rarest = min(
                (self._holding.get(word, []) for word in phrase.split()), key=len, default=[]
            )
            found = [row for row in rarest if f" {phrase} " in self._padded[row]]
            self._known[phrase] = found
        return found


def rare(texts: int) -> int:
    """Up to how many of so many texts may hold a short phrase that still tells them apart."""
    return max(3, texts // 100)
