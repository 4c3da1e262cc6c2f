"""Candidate retrieval over all segments, with the features that the profile reads.

Two routes find them, segment by segment: ranking/engine/exact.py looks at every document, and
ranking/engine/native.py may leave out those that cannot be among the best. What follows is the
same for both, and so are the hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ranking.distances import MAX_DISTANCE, closeness_to_distance
from ranking.engine.plan import Plan
from ranking.engine.program import Program
from ranking.engine.reader import IndexReader, Masks
from ranking.engine.segment.postings import Terms
from ranking.engine.segment.segment import Segment
from ranking.engine.segment.vectors import QueryVector
from ranking.engine.top_k import top_rows
from ranking.text.query_syntax import Asked
from ranking.types import TEXTS

__all__ = [
    "Best",
    "Candidates",
    "Checked",
    "Doubles",
    "Nearest",
    "Pruning",
    "QueryMasks",
    "Route",
    "Rows",
    "SegmentQuery",
    "SegmentSearch",
    "find_candidates",
]

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_DOCS: Rows = np.empty(0, np.int64)
NOTHING: Doubles = np.empty(0)


@dataclass(frozen=True)
class Checked:
    """What a query asks of the retrievers, checked against its profile.

    text: its words, where the profile uses them. vectors: by vector field. by_text: whether words
    find documents; by_vector: fields whose nearest documents are found. target_hits: how many
    nearest, or weakAnd hits. weak_and: words find only their best. min_closeness: vectors find
    nothing farther. depth: how many of the best documents are wanted, None for all that are found.
    """

    text: Asked
    vectors: Mapping[str, QueryVector]
    inputs: Mapping[str, float]
    by_text: bool
    by_vector: tuple[str, ...]
    target_hits: int
    weak_and: bool
    min_closeness: float | None
    depth: int | None


@dataclass(frozen=True, eq=False)
class SegmentQuery:
    """One segment's share of a query.

    terms: by text field. vectors: by vector field. text_allowed: by text field, which documents
    its words may find, vector_allowed: which vectors may: bool [documents], None where all may.
    has_caption: which have one that is not hidden, bool [documents].
    """

    segment: Segment
    terms: Mapping[str, Terms]
    vectors: Mapping[str, QueryVector]
    text_allowed: Mapping[str, Mask | None]
    vector_allowed: Mask | None
    has_caption: NDArray[np.bool_]


class QueryMasks(NamedTuple):
    """Which documents words of each text field may find, which vectors; which have a caption.

    A hidden caption is as one that is not there; in `captions` None is for a segment's own.
    """

    words: Mapping[str, Masks]
    vectors: Masks
    captions: Masks


class Nearest(NamedTuple):
    """Documents nearest to a query's vector, numbers ascending, and their similarity.

    farthest: the least of their order keys, infinity where there is none.
    """

    docs: Rows
    similarity: Doubles
    farthest: float = np.inf


NOT_NEAR = Nearest(NO_DOCS, NOTHING)


class Pruning(NamedTuple):
    """What allows a route to leave documents out: a first phase that never falls.

    program: the first phase. text, field: what its features are of; field is "" for none. farthest:
    the order key of the last of the nearest, NaN where no other document has a vector.
    """

    program: Program
    text: str
    field: str
    by_text: bool
    depth: int
    farthest: float


class Best(NamedTuple):
    """Documents that hold the best of a segment, numbers ascending, and their features.

    scores: by the program, the native core's. matched: how many documents were found.
    """

    docs: Rows
    bm25: Doubles
    closeness: Doubles
    scores: Doubles
    matched: int


class SegmentSearch(Protocol):
    """One query over one segment, by either route."""

    query: SegmentQuery

    def nearest(self, field: str, count: int) -> Nearest:
        """The `count` documents nearest to the query's vector."""

    def similarity(self, field: str, docs: Rows) -> Doubles:
        """Similarity of documents to the query's vector: float64 [len(docs)]."""

    def matches(self, text: str) -> Rows:
        """Documents with a word of the query, numbers ascending."""

    def bm25(self, text: str, docs: Rows) -> Doubles:
        """BM25 of documents, numbers ascending: float64 [len(docs)]."""

    def best(self, near: Nearest, pruning: Pruning, others: Doubles) -> Best | None:
        """Documents that hold the best, or None if the route leaves nothing out.

        others: scores of other segments' documents, which compete.
        """


Route = Callable[[SegmentQuery], SegmentSearch]


@dataclass(frozen=True)
class Candidates:
    """Documents found, and what their profile may read of each: an array, or one number.

    total: how many documents matched, those left out included. scores: the first phase's, where
    the route knows them to the bit.
    """

    docs: Rows
    features: Mapping[str, Doubles | float]
    total: int = 0
    scores: Doubles | None = None

    def take(self, rows: Rows | slice) -> Candidates:
        """Return the documents at `rows`, in that order."""
        features = {
            name: value[rows] if isinstance(value, np.ndarray) else value
            for name, value in self.features.items()
        }
        return Candidates(self.docs[rows], features, self.total)


def find_candidates(
    reader: IndexReader, plan: Plan, asked: Checked, masks: QueryMasks, route: Route
) -> Candidates:
    """Find the documents that can be among the best, numbers ascending."""
    retrieval = _Retrieval(reader, plan, asked, _searches(reader, plan, asked, masks, route))
    nearest = {field: retrieval.nearest(field) for field in asked.by_vector}
    if (least := asked.min_closeness) is not None:
        nearest = {field: retrieval.close(field, near, least) for field, near in nearest.items()}
    pruning = retrieval.pruning(nearest)
    found = retrieval.best(nearest, pruning) if pruning is not None else None
    return found or retrieval.everything(nearest)


def _searches(
    reader: IndexReader, plan: Plan, asked: Checked, masks: QueryMasks, route: Route
) -> list[SegmentSearch]:
    terms = {
        text: reader.texts[text].terms(asked.text.terms, asked.text.weights) for text in plan.texts
    }
    return [
        route(
            SegmentQuery(
                segment,
                {text: terms[text][place] for text in terms},
                asked.vectors,
                {text: words[place] for text, words in masks.words.items()},
                masks.vectors[place],
                segment.has_caption if (mask := masks.captions[place]) is None else mask,
            )
        )
        for place, (segment, _) in enumerate(reader.parts)
    ]


class _Near(NamedTuple):
    """The nearest of all segments together: each segment's, and the order key of the last."""

    parts: Sequence[Nearest]
    farthest: float


class _Part(NamedTuple):
    """One segment's candidates, with BM25 by text field and closeness by vector field."""

    search: SegmentSearch
    docs: Rows
    bm25: Mapping[str, Doubles]
    closeness: Mapping[str, Doubles]


@dataclass(frozen=True)
class _Retrieval:
    """One query over all segments of an index; searches: one for each segment."""

    reader: IndexReader
    plan: Plan
    asked: Checked
    searches: Sequence[SegmentSearch]

    def nearest(self, field: str) -> _Near:
        """The `target_hits` nearest of all segments."""
        count = self.asked.target_hits
        found = [search.nearest(field, count) for search in self.searches]
        if sum(len(each.docs) for each in found) < count or count <= 0:
            return _Near(found, np.nan)
        if len(found) == 1:
            return _Near(found, found[0].farthest)
        keys = [
            search.query.segment.vectors[field].order_keys(each.docs, each.similarity)
            for search, each in zip(self.searches, found, strict=True)
        ]
        kept = self._best_of_all([each.docs for each in found], keys, count)
        parts = [
            Nearest(each.docs[own], each.similarity[own])
            for each, own in zip(found, kept, strict=True)
        ]
        return _Near(parts, float(np.concatenate(keys)[np.concatenate(kept)].min()))

    def close(self, field: str, near: _Near, least: float) -> _Near:
        """The nearest without those of lower closeness, which then are among the others."""
        parts, farthest = [], [near.farthest]
        for search, each in zip(self.searches, near.parts, strict=True):
            index, vector = search.query.segment.vectors[field], search.query.vectors[field]
            kept = index.closeness(vector, each.docs, each.similarity) >= least
            farthest += index.order_keys(each.docs[~kept], each.similarity[~kept]).tolist()
            parts.append(Nearest(each.docs[kept], each.similarity[kept]))
        known = [key for key in farthest if not np.isnan(key)]
        return _Near(parts, max(known, default=np.nan))

    def pruning(self, nearest: Mapping[str, _Near]) -> Pruning | None:
        """What allows documents to be left out, if anything does.

        The nearest have to be known wherever a vector is compared: a bound on the others'
        closeness.
        """
        plan, asked = self.plan, self.asked
        bounded = set(asked.vectors) == set(asked.by_vector) and asked.target_hits > 0
        if not asked.depth or asked.weak_and or not self.searches:
            return None
        if asked.vectors and not bounded:
            return None
        program = plan.program(asked.inputs, by_vector=bool(asked.vectors))
        if program is None:
            return None
        fields = {f.field for f in plan.features.values() if f.of_vectors}
        field = next(iter((fields | plan.vector_fields.keys()) - {""}), "")
        text = plan.texts[0] if plan.texts else TEXTS[0]
        farthest = nearest[field].farthest if field in nearest else np.nan
        return Pruning(program, text, field, asked.by_text, asked.depth, farthest)

    def best(self, nearest: Mapping[str, _Near], pruning: Pruning) -> Candidates | None:
        """Documents that hold the best; None where the route leaves nothing out."""
        near = nearest.get(pruning.field)
        scores, total = NOTHING, 0
        parts: list[_Part] = []
        for place, search in enumerate(self.searches):
            own = near.parts[place] if near is not None else NOT_NEAR
            best = search.best(own, pruning, scores)
            if best is None:
                return None
            closeness = {pruning.field: best.closeness} if self.asked.vectors else {}
            parts.append(_Part(search, best.docs, {pruning.text: best.bm25}, closeness))
            scores = np.concatenate([scores, best.scores]) if place else best.scores
            total += best.matched
        return self._joined(parts, total, scores if pruning.program.exact else None)

    def everything(self, nearest: Mapping[str, _Near]) -> Candidates:
        """All documents with a word of the query, and the nearest."""
        plan, asked = self.plan, self.asked
        matched = [NO_DOCS] * len(self.searches)
        if asked.by_text:
            matched = [search.matches(plan.texts[0]) for search in self.searches]
            if asked.weak_and:
                matched = self._best_matches(matched)
        parts: list[_Part] = []
        for place, search in enumerate(self.searches):
            docs = _union([matched[place], *(each.parts[place].docs for each in nearest.values())])
            bm25 = {text: search.bm25(text, docs) for text in plan.texts}
            closeness = {
                field: search.query.segment.vectors[field].closeness(
                    asked.vectors[field], docs, search.similarity(field, docs)
                )
                for field in plan.compared
                if field in asked.vectors
            }
            parts.append(_Part(search, docs, bm25, closeness))
        return self._joined(parts, sum(len(part.docs) for part in parts))

    def _best_matches(self, matched: Sequence[Rows]) -> list[Rows]:
        """The `target_hits` matches of highest BM25, as weakAnd aims to; features stay exact.

        Vespa's own keeps somewhat more, and which ones depends on the order of feeding.
        """
        text = self.plan.texts[0]
        bm25 = [search.bm25(text, own) for search, own in zip(self.searches, matched, strict=True)]
        kept = self._best_of_all(matched, bm25, self.asked.target_hits)
        return [docs[own] for docs, own in zip(matched, kept, strict=True)]

    def _best_of_all(
        self, docs: Sequence[Rows], keys: Sequence[Doubles], count: int
    ) -> list[NDArray[np.bool_]]:
        """Which of each segment's documents are the `count` of largest key, ties by id."""
        numbers = self._numbers(docs)
        kept = np.zeros(len(numbers), np.bool_)
        together = np.concatenate([NOTHING, *keys])
        kept[top_rows(together, numbers, count, self.reader.id_order)] = True
        return np.split(kept, np.cumsum([len(own) for own in docs])[:-1])

    def _numbers(self, docs: Sequence[Rows]) -> Rows:
        """Each segment's document numbers in the numbering of all segments."""
        starts = self.reader.offsets[:-1].tolist()
        return np.concatenate(
            [NO_DOCS, *(own + start for own, start in zip(docs, starts, strict=True))]
        )

    def _joined(
        self, parts: Sequence[_Part], total: int, scores: Doubles | None = None
    ) -> Candidates:
        """The candidates of all segments in one table."""
        values: dict[str, Doubles | float] = dict(self.asked.inputs)
        tables = [_features(self.plan, part) for part in parts]
        if len(parts) == 1:
            return Candidates(parts[0].docs, values | tables[0], total, scores)
        for name in self.plan.features:
            values[name] = np.concatenate([NOTHING, *(table[name] for table in tables)])
        return Candidates(self._numbers([part.docs for part in parts]), values, total, scores)


def _union(found: Sequence[Rows]) -> Rows:
    """Numbers of any, ascending, each once."""
    some = [docs for docs in found if len(docs)]
    if len(some) <= 1:
        return some[0] if some else NO_DOCS
    return np.unique(np.concatenate(some))


def _features(plan: Plan, part: _Part) -> dict[str, Doubles]:
    """Every feature that the plan reads, by its canonical name."""
    search, docs, bm25, closeness = part
    segment = search.query.segment
    values: dict[str, Doubles] = {}
    for name, (kind, field) in plan.features.items():
        if kind == "bm25":
            values[name] = bm25[field]
        elif kind == "has_caption":
            values[name] = search.query.has_caption[docs].astype(np.float64)
        elif kind == "attribute":
            values[name] = segment.numbers(field)[docs]
        elif kind == "has_attribute":
            values[name] = (~np.isnan(segment.numbers(field)[docs])).astype(np.float64)
        elif kind == "has_vector":
            present = segment.vectors[field].present[docs] if field else np.zeros(len(docs))
            values[name] = present.astype(np.float64)
        elif kind == "closeness":
            values[name] = closeness[field] if field in closeness else np.zeros(len(docs))
        elif field in closeness:
            metric = plan.vector_fields[field].distance
            values[name] = closeness_to_distance(closeness[field], metric)
        else:
            values[name] = np.full(len(docs), MAX_DISTANCE)
    return values
