"""Many queries at once: one matrix product for their vectors, the rest on all cores.

The results are those of one query after another, up to the last digits of float32 products,
whose order of summation differs.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ranking.candidates import Wanted
from ranking.plan import Plan
from ranking.retrieval import answer, wanted
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many"]

# Numbers in one matrix, queries x documents: 16 MiB of float32.
CELLS = 1 << 22

Asked = tuple[Plan, Query, Wanted]


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order.

    Raises QueryError for the first query that is at fault, before any is answered.
    """
    checked = [(plan, query, wanted(plan, query)) for plan, query in asked]
    results: dict[int, Result] = {}
    view.decode_ids()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [
            (chunk, pool.submit(_answer_chunk, view, [checked[row] for row in chunk]))
            for chunk in _chunks(view, checked)
        ]
        for chunk, future in futures:
            results.update(zip(chunk, future.result(), strict=True))
    return [results[row] for row in range(len(asked))]


def _chunks(view: View, checked: Sequence[Asked]) -> Iterator[list[int]]:
    """Places of queries on the same vector field (or none), as many as one product takes."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (plan, _, ask) in enumerate(checked):
        field = plan.vector_field
        groups["" if ask.vector is None or field is None else field.name].append(row)
    size = max(CELLS // max(view.size, 1), 1)
    for rows in groups.values():
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _answer_chunk(view: View, chunk: Sequence[Asked]) -> list[Result]:
    field = chunk[0][0].vector_field
    vectors = [ask.vector for _, _, ask in chunk if ask.vector is not None]
    if field is None or not vectors:
        return [answer(view, plan, query, ask) for plan, query, ask in chunk]
    keys = view.keys(field.name, np.stack(vectors))
    rows = [None] * len(chunk) if keys is None else list(keys)
    return [
        answer(view, plan, query, ask, row)
        for (plan, query, ask), row in zip(chunk, rows, strict=True)
    ]
