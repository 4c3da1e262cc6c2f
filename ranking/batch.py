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
from ranking.types import Query, QueryError, Result
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

    Queries of a kind are handed over as soon as there are enough of them, so that the next ones are
    checked while those are answered. Raises QueryError for the first query that is at fault.
    """
    if DECODED * sum(query.k for _, query in asked) > view.size:
        view.decode_ids()
    cores = os.cpu_count() or 1
    share = _share(len(asked), cores)
    results: dict[int, Result] = {}
    waiting: dict[Hashable, dict[int, Checked]] = {}

    def work(chunk: dict[int, Checked], *, alone: bool) -> None:
        own = list(chunk.values())
        found = [_answer(view, *each) for each in own] if alone else _together(view, own)
        results.update(zip(chunk, found, strict=True))

    with ThreadPoolExecutor(cores) as pool:
        under_way = []
        try:
            for place, (plan, query) in enumerate(asked):
                ask = wanted(plan, query)
                shared = kind(view, plan, query, ask)
                chunk = waiting.setdefault(shared, {})
                chunk[place] = plan, query, ask
                if len(chunk) >= min(share, _most(plan, query)):
                    under_way.append(pool.submit(work, waiting.pop(shared), alone=shared is None))
        except QueryError:
            pool.shutdown(cancel_futures=True)
            raise
        for shared, chunk in waiting.items():
            under_way.append(pool.submit(work, chunk, alone=shared is None))
        for each in under_way:
            each.result()
    return [results[place] for place in range(len(asked))]


def _share(count: int, cores: int) -> int:
    """How many queries to answer together, for cores to have equally many to do."""
    rounds = -(-count // (cores * TOGETHER))
    return -(-count // (cores * rounds)) if count else 1


def _most(plan: Plan, query: Query) -> int:
    """How many queries like this one may be answered together, for what they hold in memory."""
    return max(CANDIDATES // (3 * max(query.k, plan.window, query.target_hits) + 1), 1)


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
