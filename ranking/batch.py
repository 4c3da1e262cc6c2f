"""One query or many: many are answered on all cores, and together where they are of a kind."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ranking.candidates import Wanted
from ranking.fused import answer_fused, fitting
from ranking.many import answer_together, kind
from ranking.plan import Plan
from ranking.retrieval import answer, wanted
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many", "answer_one"]

# So many queries are answered together at most, and fewer where each has many candidates.
TOGETHER = 256
CANDIDATES = 1 << 18
# All ids are decoded where that many times the hits wanted are more.
DECODED = 4

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
    if DECODED * sum(query.k for _, query in asked) > view.size:
        view.decode_ids()
    cores = os.cpu_count() or 1
    groups: dict[Hashable, list[int]] = {}
    for place, each in enumerate(checked):
        groups.setdefault(kind(view, *each), []).append(place)
    chunks = [
        chunk
        for shared, places in groups.items()
        for chunk in _chunks(places, cores, checked[places[0]], alone=shared is None)
    ]
    results: list[Result | None] = [None] * len(checked)

    def work(chunk: tuple[bool, list[int]]) -> None:
        alone, places = chunk
        own = [checked[place] for place in places]
        found = [_answer(view, *each) for each in own] if alone else _together(view, own)
        for place, result in zip(places, found, strict=True):
            results[place] = result

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, chunks))
    return [result for result in results if result is not None]


def _answer(view: View, plan: Plan, query: Query, ask: Wanted) -> Result:
    first = fitting(view, plan, query, ask)
    if first is None:
        return answer(view, plan, query, ask)
    return answer_fused(view, plan, query, ask, first)


def _together(view: View, asked: Sequence[Checked]) -> list[Result]:
    plan, query, ask = asked[0]
    first = fitting(view, plan, query, ask)
    if first is None:
        return [_answer(view, *each) for each in asked]
    return answer_together(view, plan, first, [(query, ask) for _, query, ask in asked])


def _chunks(
    places: list[int], cores: int, sample: Checked, *, alone: bool
) -> list[tuple[bool, list[int]]]:
    """Cut places into parts of equal size, as many for each core."""
    plan, query, _ = sample
    most = max(CANDIDATES // (3 * max(query.k, plan.window, query.target_hits) + 1), 1)
    most = min(most, TOGETHER)
    rounds = -(-len(places) // (cores * most))
    size = -(-len(places) // (cores * rounds))
    return [(alone, places[start : start + size]) for start in range(0, len(places), size)]
