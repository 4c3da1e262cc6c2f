"""One recorded request -> a query of the embedded engine, or why it cannot be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.parity.parts import Parts, Skipped, reduce_query
from ranking.parity.records import Collection, Record
from ranking.parity.yql import Item, YqlError, parse_where
from ranking.profile import Phase, Profile
from ranking.text import tokenize
from ranking.types import Filter, Query

__all__ = ["Replay", "Skipped", "make_replay"]

_UNDERSTOOD = {
    "yql", "text", "hits", "offset", "ranking", "language", "timeout", "presentation.summary",
    "model.restrict", "ranking.globalPhase.rerankCount", "query", "type",
}  # fmt: skip
_INPUT = re.compile(r"input\.query\((\w+)\)")
_OF_VECTORS = ("closeness(", "distance(")
_FLAT = ("linguistics", "tokenize")
_OPERATORS = re.compile(
    r'["+:;*?<>=()\[\]{}!~^|&$#@\\%]|(?:^|\s)-|\d[.,]\d|(?:^|\s)(?:OR|AND|NOT)(?:\s|$)'
)


@dataclass(frozen=True)
class Replay:
    """What to ask the engine for one record.

    exact: Vespa's candidates follow from the documents; else (weakAnd, HNSW) its answer
    depends on the order of feeding, and only features and overlap can be compared.
    threshold: largest distance of a hit. offset: how many of the best hits were left out.
    groups: words of the text that count only together, as x and ray of x-ray. near: the field
    whose nearest neighbours are asked for exactly, "" where there is none.
    """

    query: Query
    profile: Profile
    offset: int
    exact: bool
    approximations: tuple[str, ...]
    threshold: float | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    near: str = ""


def make_replay(record: Record, collection: Collection) -> Replay:
    """Translate a record's request; raises Skipped with the reason."""
    request = record["request"]
    _check_request(record, request)
    try:
        parts = reduce_query(parse_where(request["yql"]), request, collection)
    except YqlError as error:
        raise Skipped(f"YQL: {error}") from None
    profile = _profile(request, parts, collection)
    text, groups = _text(parts, request)
    approximations = _matching(parts, groups, collection)
    vector = _vector(parts, request, collection, profile)
    if parts.nearest is not None and not _is_exact(parts.nearest):
        approximations.append("HNSW")
    if not parts.retrieve:
        approximations.append("nothing to rank by")
    offset = int(request.get("offset", 0))
    query = Query(
        text=text,
        vector=vector,
        profile=profile.name,
        inputs=_inputs(request, profile),
        k=int(request.get("hits", 10)) + offset,
        target_hits=_target_hits(parts),
        matching="weakAnd" if "weakAnd" in approximations else "or",
        filters=tuple(parts.filters),
        with_documents=False,
    )
    return Replay(
        query=query,
        profile=profile,
        offset=offset,
        exact=not approximations,
        approximations=tuple(approximations),
        threshold=_threshold(parts),
        groups=groups,
        near=parts.nearest.arguments[0] if parts.nearest and _is_exact(parts.nearest) else "",
    )


def _check_request(record: Record, request: Mapping[str, Any]) -> None:
    if record.get("status", 200) != 200:
        raise Skipped(f"Vespa answered {record['status']}")
    unknown = sorted(key for key in request if key not in _UNDERSTOOD and not _INPUT.fullmatch(key))
    if unknown:
        raise Skipped(f"parameter {', '.join(unknown)}")


def _profile(request: Mapping[str, Any], parts: Parts, collection: Collection) -> Profile:
    name = request.get("ranking", "default")
    schema = collection.schema
    if request.get("model.restrict", schema.name) != schema.name:
        raise Skipped(f"schema {request['model.restrict']}")
    if name in schema.unusable:
        reason = schema.unusable[name].split(": ", 1)[-1].split(" is neither")[0]
        raise Skipped(f"profile {name}: {reason}")
    if name not in schema.profiles.names():
        raise Skipped(f"profile {name} is not in the schema")
    profile = schema.profiles.resolve(name)
    for expression in profile.expressions():
        for feature in sorted(expression.features):
            if feature.startswith("bm25(") and feature != "bm25(caption)":
                raise Skipped(f"{feature}: this engine indexes captions")
    profile = replace(profile, retrieve=parts.retrieve or ("text",))
    count = request.get("ranking.globalPhase.rerankCount")
    if count is not None and profile.global_phase is not None:
        phase = Phase(profile.global_phase.expression, int(count))
        profile = replace(profile, global_phase=phase)
    return profile


def _inputs(request: Mapping[str, Any], profile: Profile) -> dict[str, float]:
    found = {}
    for key, value in request.items():
        match = _INPUT.fullmatch(key)
        if match and not isinstance(value, dict) and match[1] in profile.inputs:
            found[match[1]] = float(value)
    return found


def _text(parts: Parts, request: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The words that were typed, and those that count only together."""
    item = parts.text
    if item is None:
        return "", ()
    if request.get("language") != "en":
        raise Skipped("language detection")
    text = _typed(item, request)
    index = item.annotations.get("defaultIndex", "caption")
    if index != "caption":
        raise Skipped(f"index {index}")
    if _is_flat(item):
        return text, ()
    if _OPERATORS.search(text):
        raise Skipped("operators")
    return text, tuple(g for g in map(tuple, map(tokenize, text.split())) if g)


def _grammar(item: Item) -> str:
    return "all" if item.kind == "word" else str(item.annotations.get("grammar", "weakAnd"))


def _is_flat(item: Item) -> bool:
    return item.kind == "text" or _grammar(item) in _FLAT


def _typed(item: Item, request: Mapping[str, Any]) -> str:
    argument = item.arguments[-1]
    named = argument.startswith("@") and argument[1:] in request
    return str(request[argument[1:]]) if named else argument


def _matching(parts: Parts, groups: Sequence[tuple[str, ...]], collection: Collection) -> list[str]:
    """Name what makes the words' candidates approximate; let through what `all` does."""
    item = parts.text
    if item is None:
        return []
    if _is_flat(item):
        composite = item.annotations.get("grammar.composite", "weakAnd")
        if composite not in ("or", "weakAnd"):
            raise Skipped(f"composite {composite}")
        return [] if composite == "or" else ["weakAnd"]
    grammar = _grammar(item)
    if grammar not in ("any", "all", "weakAnd"):
        raise Skipped(f"grammar {grammar}")
    if grammar == "all":
        _let_through_all(groups, parts, collection)
        return []
    together = any(len(group) > 1 for group in groups)
    return ["weakAnd"] if grammar == "weakAnd" else ["words that meet"] if together else []


def _let_through_all(
    groups: Sequence[tuple[str, ...]], parts: Parts, collection: Collection
) -> None:
    if parts.retrieve != ("text",):
        raise Skipped("grammar all beside vectors")
    needed = {word for group in groups for word in group}
    found = [
        document.id
        for document, words in zip(collection.documents, collection.caption_words, strict=True)
        if words >= needed
    ]
    parts.filters.append(Filter("id", tuple(found)))


def _vector(
    parts: Parts, request: Mapping[str, Any], collection: Collection, profile: Profile
) -> NDArray[np.float32] | None:
    if parts.nearest is None:
        return None
    name, parameter = parts.nearest.arguments
    if name not in {f.name for f in collection.schema.vector_fields}:
        raise Skipped(f"field {name}")
    read = {f for e in profile.expressions() for f in e.features if f.startswith(_OF_VECTORS)}
    if any(name not in re.split(r"\W", feature) for feature in read):
        raise Skipped(f"neighbours in {name}, a profile that reads {', '.join(sorted(read))}")
    wanted = request.get(f"input.query({parameter})")
    if isinstance(wanted, list):
        return np.asarray(wanted, np.float32)
    if not isinstance(wanted, dict):
        raise Skipped("a query vector that is not given by its recipe")
    return collection.vector_of(wanted)


def _is_exact(item: Item) -> bool:
    return item.annotations.get("approximate") is False


def _target_hits(parts: Parts) -> int:
    for item in (parts.nearest, parts.text):
        if item is None:
            continue
        for key in ("targetHits", "totalTargetHits"):
            if key in item.annotations:
                return int(str(item.annotations[key]))
    return Query.target_hits


def _threshold(parts: Parts) -> float | None:
    if parts.nearest is None or "distanceThreshold" not in parts.nearest.annotations:
        return None
    if parts.retrieve != ("vector",):
        raise Skipped("distanceThreshold beside words")
    return float(str(parts.nearest.annotations["distanceThreshold"]))
