"""From the best documents of a first phase to a result: later phases, and the hits asked for."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Wanted
from ranking.engine.compiled.machine import BM25, CAPTION, CLOSENESS, DISTANCE, VECTOR
from ranking.engine.hits import HitColumns, columns_of, cut_hits
from ranking.engine.phases import Candidates, Ranked, rank
from ranking.engine.plan import Plan
from ranking.engine.search import NO_WORD
from ranking.engine.view import View
from ranking.types import Query, Result

__all__ = ["Best", "finished"]


class Best(NamedTuple):
    """The best documents by a first phase, best first, as compiled code finds them.

    docs: numbers int64 [n]; scores: float64 [n]; features: float64 [5, n], rows as
    `machine` has them. total: how many documents were found. known: whether any document has a
    word of the query, if words are looked for at all.
    """

    docs: NDArray[np.int64]
    scores: NDArray[np.float64]
    features: NDArray[np.float64]
    total: int
    known: bool


def finished(
    view: View, plan: Plan, query: Query, ask: Wanted, best: Best, seconds: float
) -> Result:
    """The result of a query; `seconds`: what the search took so far."""
    started = time.perf_counter()
    columns = _columns(view, plan, query, ask, best)
    return Result(
        **columns,
        total=best.total,
        coverage=view.coverage,
        timing={"search": seconds, "rank": time.perf_counter() - started},
        warnings=() if best.known else (NO_WORD,),
    )


def _columns(view: View, plan: Plan, query: Query, ask: Wanted, best: Best) -> HitColumns:
    rows = _shown_rows(plan)
    if rows is not None and not plan.window:  # there is nothing left to compute
        features = {name: best.features[row] for name, row in rows}
        return columns_of(view, query, best.docs, best.scores, features)
    found = Candidates(best.docs, _by_name(plan, ask, best.features))
    ranked = Ranked(found, best.scores)
    if plan.window:
        ranked = rank(plan, found, best.scores, query.k, view.id_order)
    return cut_hits(view, plan, query, ranked)


def _by_name(
    plan: Plan, ask: Wanted, features: NDArray[np.float64]
) -> dict[str, NDArray[np.float64] | float]:
    return {**ask.inputs, **{name: features[row] for name, row in _rows(plan)}}


@lru_cache(maxsize=256)
def _rows(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Each feature that the plan reads, and the row it has in compiled code."""
    return tuple((name, _row(name)) for name in plan.features)


@lru_cache(maxsize=256)
def _shown_rows(plan: Plan) -> tuple[tuple[str, int], ...] | None:
    """Each match-feature's row in compiled code; None where one is an expression."""
    if not plan.features.issuperset(plan.shown):
        return None
    return tuple((name, _row(name)) for name in plan.shown)


def _row(name: str) -> int:
    if name == "bm25(caption)":
        return BM25
    if name == "attribute(has_caption)":
        return CAPTION
    if name.startswith("attribute(has_vector"):
        return VECTOR
    return CLOSENESS if name.startswith("closeness(") else DISTANCE
