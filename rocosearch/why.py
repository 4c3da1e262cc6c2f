"""Why a document was found where it was, or was not found."""

from __future__ import annotations

from typing import Any

from ranking.searcher import Searcher
from ranking.types import Filter, Query, Result

__all__ = ["MOST_RANKS", "why"]

MOST_RANKS = 10_000
"""How far down a document's rank is looked for."""


def why(searcher: Searcher, identifier: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - as search
    """What became of a document in a search; `asked` is what `Searcher.search` takes.

    verdict: "absent" (it is not in the index), "excluded" (it is an example of the query),
    "filtered" (`by` names the filters that it fails), "not matched" (no word of the query stands
    in it), "not retrieved" (it can be scored, but is not among the nearest that are looked at),
    "matched" (`rank`, from 1), or "low" (below the first 10,000). score, features: what the
    ranking gives it, where it can be scored.
    """
    if searcher.engine.get(identifier) is None:
        return {"id": identifier, "verdict": "absent"}
    if identifier in {*asked.get("like", ()), *asked.get("unlike", ())}:
        return {"id": identifier, "verdict": "excluded"}
    filters: tuple[Filter, ...] = tuple(asked.pop("filters", ()))
    nearest = asked.pop("target_hits", None) or max(asked.pop("k", 0), Query.target_hits)
    asked.pop("group_by", None)
    itself = Filter("id", (identifier,))

    def found(*conditions: Filter, k: int = 1) -> Result:
        return searcher.search(**asked, filters=conditions, k=k, target_hits=nearest)

    shown: dict[str, Any] = {"id": identifier, "verdict": "not matched"}
    for hit in found(itself):
        shown |= {"score": hit.score, "features": dict(hit.features), "verdict": "not retrieved"}
    if shown["verdict"] == "not matched":
        return shown
    failed = [each for each in filters if not found(itself, each)]
    if failed:
        return {**shown, "verdict": "filtered", "by": [_told(each) for each in failed]}
    ranked = found(*filters, k=MOST_RANKS).ids
    if identifier in ranked:
        return {**shown, "verdict": "matched", "rank": ranked.index(identifier) + 1}
    return {**shown, "verdict": "low"} if len(ranked) >= MOST_RANKS else shown


def _told(condition: Filter) -> str:
    return f"{'not ' * condition.exclude}{condition.field}={','.join(condition.values)}"
