"""Queries answered in compiled code, where their first phase rises with BM25 and closeness.

The hits are those of `retrieval.answer`, which serves whatever does not fit here.
"""

from __future__ import annotations

import time

from ranking.engine.candidates import Wanted
from ranking.engine.compiled.finding import search_parts
from ranking.engine.compiled.finish import Best, finished
from ranking.engine.compiled.fused_kernels import search
from ranking.engine.compiled.machine import Program
from ranking.engine.compiled.sought import Sought, sought
from ranking.engine.plan import Plan
from ranking.engine.view import View
from ranking.types import Query, Result

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
    by_words = "text" in plan.retrieve
    if len(parts) == 1:
        docs, scores, features, total = search(*parts[0], first, by_words, depth)
    else:
        docs, scores, features, total = search_parts(view, parts, first, by_words, depth)
    best = Best(docs, scores, features, total, _known(plan, query, parts))
    return finished(view, plan, query, ask, best, time.perf_counter() - started)


def _known(plan: Plan, query: Query, parts: list[Sought]) -> bool:
    """Whether the index has a word of the query, if words are looked for at all."""
    if "text" not in plan.retrieve or not query.text.strip():
        return True
    return any((part.words.ends > part.words.starts).any() for part in parts)
