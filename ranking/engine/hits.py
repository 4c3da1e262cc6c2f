"""Build the page of hits from the ranked candidates: sort, group, offset, k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Candidates
from ranking.engine.phases import Ranked, evaluate
from ranking.engine.plan import Plan
from ranking.engine.reader import IndexReader
from ranking.engine.segment.vectors import QueryVector
from ranking.expressions.expression import Expression
from ranking.types import Document, Query

__all__ = ["HitColumns", "cut_hits"]


class HitColumns(TypedDict):
    """The part of a `Result` that describes its hits."""

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]
    documents: tuple[Document, ...]
    closest: dict[str, tuple[str, ...]]


def cut_hits(
    reader: IndexReader,
    plan: Plan,
    query: Query,
    ranked: Ranked,
    vectors: Mapping[str, QueryVector],
) -> HitColumns:
    """Return `query.k` hits after the first `query.offset`, in the order asked for."""
    places = _places(reader, query, ranked)
    best, scores = ranked.found.take(ranked.rows[places]), ranked.scores[places]
    documents = [reader.document(int(doc)) for doc in best.docs] if query.with_documents else []
    return {
        "ids": reader.ids_of(best.docs),
        "scores": scores,
        "features": {name: _column(best, name, shown) for name, shown in plan.shown.items()},
        "documents": tuple(documents),
        "closest": {
            name: tuple(
                reader.closest(field, vectors[field], int(doc)) if field in vectors else ""
                for doc in best.docs
            )
            for name, field in plan.closest.items()
        },
    }


def _places(reader: IndexReader, query: Query, ranked: Ranked) -> NDArray[np.int64] | slice:
    """Places of the hits in the ranking."""
    cut = slice(query.offset, query.offset + query.k)
    if query.min_score is None and query.sort is None and query.group_by is None:
        return cut
    docs = ranked.found.docs[ranked.rows]
    places = np.arange(len(docs))
    if query.min_score is not None:
        places = places[ranked.scores >= query.min_score]
    if query.sort is not None:
        keys = reader.sort_keys(query.sort.field, docs[places])
        places = places[np.argsort(-keys if query.sort.descending else keys, kind="stable")]
    if query.group_by is not None:
        groups = reader.groups(query.group_by, docs[places])
        places = places[np.sort(np.unique(groups, return_index=True)[1])]
    return places[cut]


def _column(best: Candidates, name: str, shown: Expression) -> NDArray[np.float64]:
    known = best.features.get(name)
    return known if isinstance(known, np.ndarray) else evaluate(shown, best)
