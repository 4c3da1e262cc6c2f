"""Queries answered in compiled code, where their first phase rises with BM25 and closeness.

The hits are those of `retrieval.answer`, which serves whatever does not fit here.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ranking.candidates import HEADSTART, LEAST, Wanted
from ranking.finding import search_parts
from ranking.fused_kernels import search
from ranking.hits import cut_hits
from ranking.machine import BM25, CAPTION, CLOSENESS, DISTANCE, VECTOR, Program
from ranking.phases import Candidates, Ranked, rank
from ranking.plan import Plan
from ranking.retrieval import NO_WORD
from ranking.sought import Sought, sought
from ranking.types import Coverage, Query, Result
from ranking.view import View

__all__ = ["answer_fused", "fitting"]


def fitting(view: View, plan: Plan, query: Query, ask: Wanted) -> Program | None:
    """The first phase, if `answer_fused` can answer: float cells, and one that rises."""
    if not view.parts or query.k <= 0 or query.group_by or query.matching != "or":
        return None
    field = plan.vector_field
    if field is not None and (
        field.cell_type != "float" or field.distance not in ("prenormalized-angular", "dotproduct")
    ):
        return None
    if ask.vector is not None and ("vector" not in plan.retrieve or query.target_hits <= 0):
        return None
    return plan.program(ask.inputs, by_vector=ask.vector is not None)


def answer_fused(view: View, plan: Plan, query: Query, ask: Wanted, first: Program) -> Result:
    """Answer one query whose first phase is `first`."""
    started = time.perf_counter()
    parts = sought(view, plan, query, ask)
    depth = max(query.k, plan.window)
    count = max(HEADSTART * depth, LEAST) if "text" in plan.retrieve else 0
    if len(parts) == 1:
        docs, scores, features, total = search(*parts[0], first, count, depth)
    else:
        docs, scores, features, total = search_parts(view, parts, first, count, depth)
    searched = time.perf_counter()
    found = Candidates(docs, _by_name(plan, ask, features))
    ranked = Ranked(found, scores)
    if plan.window:
        ranked = rank(plan, found, scores, query.k, view.id_order)
    return Result(
        **cut_hits(view, plan, query, ranked),
        total=total,
        coverage=Coverage(documents=view.count),
        timing={"search": searched - started, "rank": time.perf_counter() - searched},
        warnings=() if _known(plan, query, parts) else (NO_WORD,),
    )


def _known(plan: Plan, query: Query, parts: list[Sought]) -> bool:
    """Whether the index has a word of the query, if words are looked for at all."""
    if "text" not in plan.retrieve or not query.text.strip():
        return True
    return any((part.words.ends > part.words.starts).any() for part in parts)


def _by_name(
    plan: Plan, ask: Wanted, features: NDArray[np.float64]
) -> dict[str, NDArray[np.float64] | float]:
    values: dict[str, NDArray[np.float64] | float] = dict(ask.inputs)
    for name in plan.features:
        values[name] = features[_row(name)]
    return values


def _row(name: str) -> int:
    if name == "bm25(caption)":
        return BM25
    if name == "attribute(has_caption)":
        return CAPTION
    if name.startswith("attribute(has_vector"):
        return VECTOR
    return CLOSENESS if name.startswith("closeness(") else DISTANCE
