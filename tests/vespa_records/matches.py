"""Which documents a recorded query can have found, and how many, as far as that follows.

From the documents alone follow the hits of `or` over words and, where the order of feeding is
known, those of an exact vector search. For weakAnd and HNSW bounds follow from what they are:
weakAnd leaves nothing out before it has its target hits, and finds none without a word of the
query; HNSW finds its target hits, and no more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from ranking.text.tokens import query_terms
from ranking.types import Document, Filter
from tests.vespa_records.features import Table
from tests.vespa_records.records import Collection
from tests.vespa_records.replay import Replay

__all__ = ["Matches", "find_matches", "walk_neighbours", "with_words"]

Ids = frozenset[str]


@dataclass(frozen=True)
class Matches:
    """known: documents that are hits for certain; possible: those that may be one.

    low, high: bounds of the total.
    """

    known: Ids
    possible: Ids
    low: int
    high: int

    def __or__(self, other: Matches) -> Matches:
        """What an OR of both can have found."""
        known, possible = self.known | other.known, self.possible | other.possible
        low = max(self.low, other.low, len(known))
        return Matches(known, possible, low, min(self.high + other.high, len(possible)))


def find_matches(collection: Collection, replay: Replay, table: Table) -> Matches:
    """What the query can have found on one content node."""
    allowed = _allowed(collection, replay.query.filters)
    if "nothing to rank by" in replay.approximations:
        return _exactly(allowed)
    found = _exactly(())
    if "text" in replay.profile.retrieve:
        found |= _of_words(collection, replay, allowed)
    if "vector" in replay.profile.retrieve:
        found |= _of_neighbours(collection, replay, table, allowed)
    return found


def with_words(collection: Collection, replay: Replay) -> Ids:
    """Documents that the filters let through and that have a word of the query, or a group."""
    return _with_words(collection, replay) & _allowed(collection, replay.query.filters)


def walk_neighbours(collection: Collection, replay: Replay, table: Table) -> Ids:
    """What Vespa's exact search keeps: more than its target hits.

    It goes through the documents in the order they were fed and keeps each that is, at that
    point, among the nearest; what a later document displaces stays a hit.
    """
    closeness = f"closeness(field,{replay.near})"
    allowed = _allowed(collection, replay.query.filters)
    nearest: list[float] = []
    found = set()
    for document in collection.documents:
        if not _holds(document, replay.near) or document.id not in allowed:
            continue
        near = table[document.id][closeness]
        if len(nearest) < replay.query.target_hits:
            heapq.heappush(nearest, near)
        elif near >= nearest[0]:
            heapq.heapreplace(nearest, near)
        else:
            continue
        found.add(document.id)
    return frozenset(found)


def _holds(document: Document, field: str) -> bool:
    return field in document.vectors or field in document.labelled


def _exactly(ids: Iterable[str]) -> Matches:
    found = frozenset(ids)
    return Matches(found, found, len(found), len(found))


def _of_words(collection: Collection, replay: Replay, allowed: Ids) -> Matches:
    found = _with_words(collection, replay) & allowed
    if "weakAnd" not in replay.approximations:
        return _exactly(found)
    least = min(replay.query.target_hits, len(found))
    return Matches(frozenset(), found, least, len(found))


def _with_words(collection: Collection, replay: Replay) -> Ids:
    groups = replay.groups or tuple((word,) for word in query_terms(replay.query.text))
    nowhere: Ids = frozenset()
    each = (
        frozenset.intersection(*(collection.holders.get(word, nowhere) for word in group))
        for group in groups
    )
    return nowhere.union(*each)


def _of_neighbours(collection: Collection, replay: Replay, table: Table, allowed: Ids) -> Matches:
    there = frozenset(d.id for d in collection.documents if _holds(d, replay.near)) & allowed
    within = _within(there, replay, table)
    target = replay.query.target_hits
    least = min(target, len(there))
    if "HNSW" not in replay.approximations:
        if collection.fed_in_order:
            return _exactly(walk_neighbours(collection, replay, table) & within)
        return Matches(frozenset(), within, min(target, len(within)), len(within))
    if replay.query.filters:
        # Few that pass are searched exactly, many by the graph, which may not reach them all.
        return Matches(frozenset(), within, 0, len(within))
    if replay.threshold is not None:
        return Matches(frozenset(), within, 0, min(target, len(within)))
    return Matches(frozenset(), there, least, least)


def _within(ids: Ids, replay: Replay, table: Table) -> Ids:
    if replay.threshold is None:
        return ids
    distance = f"distance(field,{replay.near})"
    return frozenset(i for i in ids if table[i][distance] <= replay.threshold)


def _allowed(collection: Collection, filters: Iterable[Filter]) -> Ids:
    wanted = tuple(filters)
    return frozenset(d.id for d in collection.documents if all(_passes(d, f) for f in wanted))


def _passes(document: Document, wanted: Filter) -> bool:
    held = getattr(document, wanted.field)
    values = {held} if isinstance(held, str) else set(held)
    return values.isdisjoint(wanted.values) == wanted.exclude
