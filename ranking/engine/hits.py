"""Cut the hits that a query asked for out of the ranked candidates."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Candidates
from ranking.engine.phases import Ranked, evaluate
from ranking.engine.plan import Plan
from ranking.engine.reader import IndexReader
from ranking.expressions.expression import Expression
from ranking.types import Document, Query, QueryError

__all__ = ["HitColumns", "cut_hits"]


class HitColumns(TypedDict):
    """The part of a `Result` that describes its hits."""

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]
    documents: tuple[Document, ...]


def cut_hits(reader: IndexReader, plan: Plan, query: Query, ranked: Ranked) -> HitColumns:
    """Return the best `query.k` candidates, or the best of each of as many groups.

    Raises QueryError where the field to group by has several values a document.
    """
    best, scores = ranked.found, ranked.scores
    if query.group_by is not None or len(scores) > query.k:
        rows: slice | NDArray[np.int64] = slice(query.k)
        if query.group_by is not None:
            rows = _first_of_each_group(reader, query, best)
        best, scores = best.take(rows), scores[rows]
    documents = [reader.document(int(doc)) for doc in best.docs] if query.with_documents else []
    return {
        "ids": reader.ids_of(best.docs),
        "scores": scores,
        "features": {name: _column(best, name, shown) for name, shown in plan.shown.items()},
        "documents": tuple(documents),
    }


def _column(best: Candidates, name: str, shown: Expression) -> NDArray[np.float64]:
    known = best.features.get(name)
    return known if isinstance(known, np.ndarray) else evaluate(shown, best)


def _first_of_each_group(reader: IndexReader, query: Query, best: Candidates) -> NDArray[np.int64]:
    if query.group_by is None or query.group_by == "concepts":
        raise QueryError("Hits cannot be grouped by concepts, of which a document has several.")
    seen: set[str] = set()
    rows: list[int] = []
    for row, doc in enumerate(best.docs):
        if len(rows) >= query.k:
            break
        value = reader.value(query.group_by, int(doc))
        if value not in seen:
            seen.add(value)
            rows.append(row)
    return np.asarray(rows, np.int64)
