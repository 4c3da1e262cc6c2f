"""The native route: scan short codes, prune by upper bounds.

The hits are those of ranking/engine/exact.py; ranking/engine/kernels/README.md tells how.
"""

from __future__ import annotations

import numpy as np

from ranking.distances import NATIVE_METRICS
from ranking.engine.candidates import Best, Doubles, Nearest, Pruning, Rows, SegmentQuery
from ranking.engine.kernels import _core
from ranking.engine.program import Program
from ranking.engine.segment.labelled import LabelledIndex
from ranking.engine.segment.postings import Terms, TextIndex
from ranking.engine.segment.vectors import VectorIndex

__all__ = ["NativeSearch"]

NO_TERMS = Terms()


class NativeSearch:
    """One query over one segment."""

    def __init__(self, query: SegmentQuery) -> None:
        self.query = query
        self._scans: dict[str, _core.Scan] = {}

    def nearest(self, field: str, count: int) -> Nearest:
        """The `count` documents nearest to the query's vector."""
        index, vector = self.query.segment.vectors[field], self.query.vectors[field]
        allowed = self.query.vector_allowed
        if allowed is not None and not index.complete:
            allowed = allowed & index.present
        if isinstance(index, LabelledIndex):
            vectors, codes = _vectors(index.rows)
            docs, keys = index.nearest_of(
                lambda rows, own: _core.nearest(vectors, codes, vector.values, own, rows)[:2],
                count,
                allowed,
            )
            return Nearest(docs, keys, float(keys.min(initial=np.inf)))
        vectors, codes = _vectors(index)
        docs, similarity, farthest, scan = _core.nearest(
            vectors, codes, vector.values, allowed, count
        )
        self._scans[field] = scan
        return Nearest(docs, similarity, farthest)

    def similarity(self, field: str, docs: Rows) -> Doubles:
        """Similarity of documents to the query's vector: float64 [len(docs)]."""
        index, vector = self.query.segment.vectors[field], self.query.vectors[field]
        if isinstance(index, LabelledIndex):
            vectors, _ = _vectors(index.rows)
            return index.largest(docs, lambda rows: _core.similarity(vectors, vector.values, rows))
        return _core.similarity(_vectors(index)[0], vector.values, docs)

    def matches(self, text: str) -> Rows:
        """Documents with a word of the query, numbers ascending."""
        postings, terms = _postings(self.query.segment.texts[text]), self.query.terms[text]
        return _core.all_matches(postings, terms.terms, self.query.text_allowed[text])

    def bm25(self, text: str, docs: Rows) -> Doubles:
        """BM25 of documents: float64 [len(docs)]."""
        postings, terms = _postings(self.query.segment.texts[text]), self.query.terms[text]
        return _core.bm25(postings, terms.terms, terms.average, self.query.text_allowed[text], docs)

    def best(self, near: Nearest, pruning: Pruning, others: Doubles) -> Best | None:
        """Documents that hold the best `pruning.depth` of this segment."""
        segment = self.query.segment
        text = segment.texts[pruning.text]
        terms = self.query.terms.get(pruning.text, NO_TERMS)
        index = segment.vectors[pruning.field] if pruning.field else None
        vector = self.query.vectors.get(pruning.field)
        found = _core.candidates(
            _postings(text),
            terms.terms,
            terms.average,
            text.stretch(terms.average),
            self.query.text_allowed[pruning.text],
            self.query.has_caption,
            None if index is None else _vectors(index)[0],
            None if vector is None else vector.values,
            near.docs,
            near.similarity,
            pruning.farthest,
            self._scans.get(pruning.field),
            _program(pruning.program),
            pruning.by_text,
            pruning.depth,
            others,
        )
        return Best(*found)


def _program(program: Program) -> _core.Program:
    made: _core.Program | None = program.native
    if made is None:
        made = program.native = _core.Program(program.steps)
    return made


def _postings(index: TextIndex) -> _core.Postings:
    """The index's arrays as the core holds them, checked once."""
    made: _core.Postings | None = index.native
    if made is None:
        names = ("docs", "tfs", "impacts", "lengths", "dense", "ranks")
        made = index.native = _core.Postings(*(index.array(name) for name in names))
    return made


def _vectors(index: VectorIndex) -> tuple[_core.Vectors, _core.Codes | None]:
    made: tuple[_core.Vectors, _core.Codes | None] | None = index.native
    if made is None:
        squares = index.squares if index.field.distance == "angular" else None
        metric = NATIVE_METRICS[index.field.distance]
        vectors = _core.Vectors(index.stored, index.present, squares, metric)
        codes, own = None, index.codes
        if own is not None:
            size = len(index.stored)
            codes = _core.Codes(own.basis, own.blocks, own.bounds, own.residuals, size)
        made = index.native = vectors, codes
    return made
