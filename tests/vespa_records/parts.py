"""A recorded query's tree sorted into words, neighbours and filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ranking.types import Filter, Retriever
from tests.vespa_records.records import Collection
from tests.vespa_records.yql import Item

__all__ = ["Parts", "Skipped", "reduce_query"]

_FIELDS: Mapping[str, str] = {
    "article_id": "group_id",
    "modality": "modality",
    "cuis": "concepts",
    "concepts": "concepts",
    "id": "id",
}


class Skipped(Exception):  # noqa: N818 - an outcome, not an error
    """The record is not compared; the message says why."""


@dataclass
class Parts:
    """What a query tree was reduced to."""

    text: Item | None = None
    nearest: Item | None = None
    retrieve: tuple[Retriever, ...] = ()
    filters: list[Filter] = field(default_factory=list)


def reduce_query(item: Item, request: Mapping[str, Any], collection: Collection) -> Parts:
    """Sort a query tree's items; raises Skipped for a form that the engine has no query for."""
    item = _without_user_query(item, request)
    parts = Parts()
    rest = []
    for part in item.inner if item.kind == "and" else (item,):
        found = _filter(part, collection)
        if found is None:
            rest.append(part)
        else:
            parts.filters.append(found)
    if len(rest) > 1:
        raise Skipped("AND of several parts")
    if rest:
        _retrievers(rest[0], parts)
    return parts


def _without_user_query(item: Item, request: Mapping[str, Any]) -> Item:
    """Put what `query` and `type` of the request say in place of userQuery()."""
    if item.kind == "userQuery":
        grammar = {"grammar": request.get("type", "weakAnd")}
        return Item("userInput", (), (str(request.get("query", "")),), grammar)
    inner = tuple(_without_user_query(each, request) for each in item.inner)
    return replace(item, inner=inner)


def _filter(item: Item, collection: Collection) -> Filter | None:
    exclude = item.kind == "not"
    word = item.inner[0] if exclude else item
    if word.kind != "word" or word.arguments[0] not in _FIELDS:
        return None
    name, value = word.arguments
    if word.annotations:
        raise Skipped(f"{', '.join(word.annotations)} on {name}")
    column = _FIELDS[name]
    return Filter(column, _stored(collection, column, value), exclude)


def _stored(collection: Collection, column: str, value: str) -> tuple[str, ...]:
    """Values as they are stored: an attribute of Vespa's ignores case unless told otherwise."""
    there: set[str] = set()
    for document in collection.documents:
        held = getattr(document, column)
        there.update((held,) if isinstance(held, str) else held)
    found = tuple(sorted(v for v in there if v.lower() == value.lower()))
    return found or (value,)


def _retrievers(item: Item, parts: Parts) -> None:
    if item.kind == "true":
        return
    if item.kind in ("or", "rank") and item.inner:
        members = [_leaf(member, parts) for member in item.inner]
        parts.retrieve = tuple(members) if item.kind == "or" else (members[0],)
        return
    parts.retrieve = (_leaf(item, parts),)


def _leaf(item: Item, parts: Parts) -> Retriever:
    if item.kind == "nearestNeighbor" and len(item.arguments) == 2:
        if parts.nearest is not None:
            raise Skipped("two nearestNeighbor")
        parts.nearest = item
        return "vector"
    if item.kind not in ("userInput", "text") and not _is_caption_word(item):
        raise Skipped(f"{item.kind}()" if item.kind != "word" else f"{item.arguments[0]} contains")
    if not item.arguments:
        raise Skipped(f"{item.kind}() of nothing")
    if parts.text is not None:
        raise Skipped("two text items")
    parts.text = item
    return "text"


def _is_caption_word(item: Item) -> bool:
    return item.kind == "word" and item.arguments[0] == "caption" and not item.annotations
