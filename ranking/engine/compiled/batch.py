"""One query or many: many are answered on all cores, and together where they are of a kind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

from ranking.engine.candidates import Wanted
from ranking.engine.compiled.fused import answer_fused, fitting
from ranking.engine.compiled.many import Together, kind, laid_out, results_of
from ranking.engine.compiled.many_kernels import Answers, search_many
from ranking.engine.plan import Plan
from ranking.engine.search import answer, wanted
from ranking.engine.view import View
from ranking.types import Query, QueryError, Result

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
    ask = wanted(plan, query)
    return _answer(view, plan, _within(view, query), ask)


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order.

    Queries of a kind are handed over as soon as there are enough of them, so that the next ones are
    checked while those are answered. Raises QueryError where one is at fault, for the first that is
    seen to be.
    """
    if DECODED * sum(query.k for _, query in asked) > view.size:
        view.decode_ids()
    cores = os.cpu_count() or 1
    share = _share(len(asked), cores)
    results: dict[int, Result] = {}
    waiting: dict[Hashable, dict[int, Checked]] = {}
    with ThreadPoolExecutor(cores) as pool:
        under_way = []
        try:
            for place, (plan, query) in enumerate(asked):
                ask, within = wanted(plan, query), _within(view, query)
                shared = kind(view, plan, within, ask)
                chunk = waiting.setdefault(shared, {})
                chunk[place] = plan, within, ask
                if len(chunk) >= min(share, _most(plan, within)):
                    del waiting[shared]
                    under_way.append((chunk, _begun(pool, view, shared, chunk)))
        except QueryError:
            pool.shutdown(cancel_futures=True)
            raise
        under_way += [
            (chunk, _begun(pool, view, shared, chunk)) for shared, chunk in waiting.items()
        ]
        for chunk, outcome in under_way:
            results.update(zip(chunk, outcome(), strict=True))
    return [results[place] for place in range(len(asked))]


def _begun(
    pool: Executor, view: View, shared: Hashable | None, chunk: Mapping[int, Checked]
) -> Callable[[], list[Result]]:
    """Have queries answered by the pool; what is returned waits for the results.

    Of those answered together the pool does what is compiled alone: no thread waits for another
    to leave the interpreter.
    """
    own = list(chunk.values())
    plan, query, ask = own[0]
    first = None if shared is None else fitting(view, plan, query, ask)
    if first is None:
        return pool.submit(lambda: [_answer(view, *each) for each in own]).result
    together = laid_out(view, plan, first, [(query, ask) for _, query, ask in own])
    search = pool.submit(_searched, together)
    return lambda: results_of(view, plan, together, *search.result())


def _searched(together: Together) -> tuple[Answers, float]:
    """What is found, and the seconds that each query took."""
    started = time.perf_counter()
    found = search_many(together.task)
    return found, (time.perf_counter() - started) / len(together.asked)


def _within(view: View, query: Query) -> Query:
    """The query, asking for no more than there can be: what is asked for takes room."""
    size = max(view.size, 1)
    if query.k <= size and query.target_hits <= size:
        return query
    return replace(query, k=min(query.k, size), target_hits=min(query.target_hits, size))


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
