"""One query or many: those alike are answered together, on all cores."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ranking.candidates import Wanted
from ranking.fused import answer_alike, fits
from ranking.plan import Plan
from ranking.retrieval import answer, wanted
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many", "answer_one"]

# Numbers of one chunk, queries x documents: 32 MiB of BM25.
CELLS = 1 << 22
CHUNK = 64

Checked = tuple[Plan, Query, Wanted]


def answer_one(view: View, plan: Plan, query: Query) -> Result:
    """Answer a query.

    Raises QueryError where it is at fault.
    """
    ask = wanted(plan, query)
    if fits(view, plan, query, ask):
        return answer_alike(view, plan, [(query, ask)])[0]
    return answer(view, plan, query, ask)


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order.

    Raises QueryError for the first query that is at fault, before any is answered.
    """
    checked = [(plan, query, wanted(plan, query)) for plan, query in asked]
    view.decode_ids()
    results: dict[int, Result] = {}

    def work(rows: Sequence[int]) -> list[Result]:
        return _answer(view, [checked[row] for row in rows])

    chunks = _chunks(view, checked)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows, found in zip(chunks, pool.map(work, chunks), strict=True):
            results.update(zip(rows, found, strict=True))
    return [results[row] for row in range(len(asked))]


def _chunks(view: View, checked: Sequence[Checked]) -> list[list[int]]:
    """Places of queries that are alike, or not: each chunk is one or the other."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, (plan, query, ask) in enumerate(checked):
        alike = fits(view, plan, query, ask)
        key = (plan.name, tuple(ask.inputs.items()), ask.vector is None) if alike else None
        groups[key].append(row)
    size = min(max(CELLS // max(view.size, 1), 1), CHUNK)
    return [
        rows[start : start + size]
        for rows in groups.values()
        for start in range(0, len(rows), size)
    ]


def _answer(view: View, chunk: Sequence[Checked]) -> list[Result]:
    plan, query, ask = chunk[0]
    if fits(view, plan, query, ask):
        return answer_alike(view, plan, [(query, ask) for _, query, ask in chunk])
    return [answer(view, *each) for each in chunk]
