"""Explain the rank of a document, or why it was not found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranking.searcher import Searcher
from ranking.types import Filter, Query, Result

__all__ = ["MOST_RANKS", "looked_by", "sentence", "why"]

MOST_RANKS = 10_000
"""Largest rank that is searched for the document."""

_SENTENCES = {
    "absent": "It is not in the index.",
    "excluded": "It is an example of the query, and examples are not returned as hits.",
    "filtered": "It does not pass the filters: {by}.",
    "cut": "It is below the minimum score, closeness or probability.",
    "matched": "It is at rank {rank:,}.",
    "low": f"It matches, but its rank is beyond {MOST_RANKS:,}.",
}
_MISSED = {
    "not matched": {"text": "it contains no word of the query", "vector": "it has no vector"},
    "not retrieved": {
        "text": "it contains no word of the query",
        "vector": "it is not among the nearest neighbours",
    },
}
_CUTS = ("min_score", "min_closeness", "min_probability")
_OF_THE_LIST = ("group_by", "offset", "sort", "facets")


def why(searcher: Searcher, identifier: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - as search
    """Explain a document's result in a search; `asked` are the arguments of `Searcher.search`.

    verdict: "absent" (it is not in the index), "excluded" (it is an example of the query),
    "not matched" (it has no word of the query, and no vector), "filtered" (`by` names the filters
    that it fails), "cut" (below one of the minima), "not retrieved" (it can be scored,
    but is not among the nearest neighbours), "matched" (`rank` by score, from 1), or "low" (rank
    beyond 10,000). score, features: its ranking, if it can be scored. told: all of it, for a
    reader.
    """
    found = _found(searcher, identifier, asked)
    return {**found, "told": sentence(found, looked_by(searcher, **asked))}


def _found(searcher: Searcher, identifier: str, asked: dict[str, Any]) -> dict[str, Any]:
    if searcher.engine.get(identifier) is None:
        return {"id": identifier, "verdict": "absent"}
    if identifier in {*asked.get("like", ()), *asked.get("unlike", ())}:
        return {"id": identifier, "verdict": "excluded"}
    search = _Search(searcher, asked)
    itself = Filter("id", (identifier,))
    alone = search(itself)
    if not alone:
        return {"id": identifier, "verdict": "not matched"}
    hit = alone.hits[0]
    shown = {"id": identifier, "score": hit.score, "features": dict(hit.features)}
    return {**shown, **_verdict(search, itself, identifier)}


def looked_by(searcher: Searcher, **asked: Any) -> tuple[str, ...]:  # noqa: ANN401 - as search
    """What a search of these arguments finds documents by: "text", "vector" or both."""
    text = asked.get("text") or ""
    image = asked.get("image")
    name = asked.get("profile") or searcher.default_profile(
        text, (asked.get("like") or None) if image is None else image
    )
    found = searcher.engine.profiles.resolve(name).retrieve
    return tuple(each for each in found if each != "text" or text.strip())


def sentence(told: Mapping[str, Any], by: Sequence[str] = ("text", "vector")) -> str:
    """What `why` has found, for a reader; by: what the search looks by, as `looked_by` tells."""
    if told["verdict"] in _MISSED:
        reasons = _MISSED[told["verdict"]]
        missed = ", and ".join(reasons[each] for each in reasons if each in by or not by)
        return f"{told['id']}: {missed[0].upper()}{missed[1:]}."
    values = {"rank": told.get("rank", 0), "by": "; ".join(told.get("by", ()))}
    return f"{told['id']}: {_SENTENCES[told['verdict']].format(**values)}"


class _Search:
    """The search, repeated with other conditions."""

    def __init__(self, searcher: Searcher, asked: dict[str, Any]) -> None:
        self._searcher = searcher
        self._asked = {name: value for name, value in asked.items() if name not in _OF_THE_LIST}
        self.filters: tuple[Filter, ...] = tuple(self._asked.pop("filters", ()))
        nearest = max(self._asked.pop("k", 0) + asked.get("offset", 0), Query.target_hits)
        self._asked["target_hits"] = self._asked.get("target_hits") or nearest
        self._cuts = {name: self._asked.pop(name, None) for name in _CUTS}

    def __call__(self, *conditions: Filter, k: int = 1, cut: bool = False) -> Result:
        cuts = self._cuts if cut else {}
        return self._searcher.search(**self._asked, **cuts, filters=conditions, k=k)


def _verdict(search: _Search, itself: Filter, identifier: str) -> dict[str, Any]:
    failed = [each for each in search.filters if not search(itself, each)]
    if failed:
        return {"verdict": "filtered", "by": [_told(each) for each in failed]}
    if not search(itself, cut=True):
        return {"verdict": "cut"}
    ranked = search(*search.filters, k=MOST_RANKS).ids
    if identifier in ranked:
        return {"verdict": "matched", "rank": ranked.index(identifier) + 1}
    return {"verdict": "low" if len(ranked) >= MOST_RANKS else "not retrieved"}


def _told(condition: Filter) -> str:
    return f"{'not ' * condition.exclude}{condition.field}={','.join(condition.values)}"
