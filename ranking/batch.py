"""Many queries at once."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.plan import Plan
from ranking.retrieval import answer
from ranking.types import Query, Result
from ranking.view import View

__all__ = ["answer_many"]


def answer_many(view: View, asked: Sequence[tuple[Plan, Query]]) -> list[Result]:
    """Answer queries, results in their order."""
    return [answer(view, plan, query) for plan, query in asked]
