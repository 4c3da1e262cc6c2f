"""The exact route: numpy, every match and every vector.

What it finds is the definition of right; ranking/engine/native.py gives the same, faster.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Best, Doubles, Nearest, Pruning, Rows, SegmentQuery

__all__ = ["ExactSearch"]


class ExactSearch:
    """One query over one segment."""

    def __init__(self, query: SegmentQuery) -> None:
        self.query = query

    def nearest(self, field: str, count: int) -> Nearest:
        """The `count` documents nearest to the query's vector."""
        index = self.query.segment.vectors[field]
        allowed = self.query.vector_allowed
        if allowed is not None and not index.complete:
            allowed = allowed & index.present
        docs, similarity = index.nearest(self.query.vectors[field], count, allowed)
        keys = index.order_keys(docs, similarity)
        return Nearest(docs, similarity, float(keys.min(initial=np.inf)))

    def similarity(self, field: str, docs: Rows) -> Doubles:
        """Similarity of documents to the query's vector: float64 [len(docs)]."""
        return self.query.segment.vectors[field].similarity(self.query.vectors[field], docs)

    def matches(self, text: str) -> Rows:
        """Documents with a word of the query, numbers ascending."""
        return np.flatnonzero(self._scores[text])

    def bm25(self, text: str, docs: Rows) -> Doubles:
        """BM25 of documents: float64 [len(docs)]."""
        return self._scores[text][docs]

    @cached_property
    def _scores(self) -> dict[str, NDArray[np.float64]]:
        found = {}
        for text, terms in self.query.terms.items():
            scores = self.query.segment.texts[text].scores(terms)
            allowed = self.query.text_allowed[text]
            if allowed is not None:
                scores[~allowed] = 0.0
            found[text] = scores
        return found

    def best(self, near: Nearest, pruning: Pruning, others: Doubles) -> Best | None:
        """None: nothing is left out here."""
        return None
