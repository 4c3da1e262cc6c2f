"""Many queries at once, on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ranking.plan import Plan
from ranking.retrieval import answer, wanted
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many"]

CHUNK = 64


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order.

    Raises QueryError for the first query that is at fault, before any is answered.
    """
    checked = [(plan, query, wanted(plan, query)) for plan, query in asked]
    view.decode_ids()

    def chunk(start: int) -> list[Result]:
        return [answer(view, *each) for each in checked[start : start + CHUNK]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = pool.map(chunk, range(0, len(checked), CHUNK))
        return [result for results in chunks for result in results]
