"""One query or many: many are answered on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ranking.candidates import Wanted
from ranking.fused import answer_fused, fitting
from ranking.plan import Plan
from ranking.retrieval import answer, wanted
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many", "answer_one"]

CHUNK = 16

Checked = tuple[Plan, Query, Wanted]


def answer_one(view: View, plan: Plan, query: Query) -> Result:
    """Answer a query.

    Raises QueryError where it is at fault.
    """
    return _answer(view, plan, query, wanted(plan, query))


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order.

    Raises QueryError for the first query that is at fault, before any is answered.
    """
    checked = [(plan, query, wanted(plan, query)) for plan, query in asked]
    view.decode_ids()

    def work(start: int) -> list[Result]:
        return [_answer(view, *each) for each in checked[start : start + CHUNK]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = pool.map(work, range(0, len(checked), CHUNK))
        return [result for chunk in chunks for result in chunk]


def _answer(view: View, plan: Plan, query: Query, ask: Wanted) -> Result:
    first = fitting(view, plan, query, ask)
    if first is None:
        return answer(view, plan, query, ask)
    return answer_fused(view, plan, query, ask, first)
