"""One recorded request -> a query of the embedded engine, or why it cannot be asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.profiles.profile import Phase, Profile
from ranking.text.tokens import query_terms
from ranking.types import Filter, Query, VectorField
from tests.vespa_records.checked import check_record, finite_number, whole_number
from tests.vespa_records.parts import Parts, Skipped, reduce_query
from tests.vespa_records.records import Collection, Record
from tests.vespa_records.yql import Item, YqlError, parse_where

__all__ = ["Replay", "Skipped", "make_replay"]

_UNDERSTOOD = {
    "yql", "text", "hits", "offset", "ranking", "language", "timeout", "presentation.summary",
    "model.restrict", "ranking.globalPhase.rerankCount", "query", "type",
}  # fmt: skip
_INPUT = re.compile(r"input\.query\((\w+)\)")
_OF_VECTORS = ("closeness(", "distance(")
_JAVA_SPACE = re.compile(r"[^\S\x85\xa0\u2007\u202f]+")
"""What Java's Character.isWhitespace calls so: the characters that do not break a line are none."""
_FLAT = ("linguistics", "tokenize")
_AS_ALL = ("web", "phrase", "segment")
# What Vespa's grammars take for the quotes of a phrase, as its own code (the kit, `yql`) reads it.
_QUOTES = frozenset('"\u201c\u201d\u201e\u201f\xab\xbb\u2039\u203a\u301d\u301e\u301f\uff02')
_OPERATORS = re.compile(
    r'["+:;*?<>=()\[\]{}!~^|&$#@\\%]|(?:^|\s)-|\d[.,]\d|(?:^|\s)(?:OR|AND|NOT)(?:\s|$)'
)


@dataclass(frozen=True)
class Replay:
    """What to ask the engine for one record.

    exact: Vespa's candidates follow from the documents; else (weakAnd, HNSW) its answer
    depends on the order of feeding, and only features and overlap can be compared.
    threshold: largest distance of a hit. hits: how many were asked for. offset: how many of the
    best were left out. groups: words of the text that count only together, as x and ray of x-ray.
    near: the field whose nearest neighbours are asked for, "" where there is none. word_hits:
    weakAnd's target hits.
    """

    query: Query
    profile: Profile
    offset: int
    exact: bool
    approximations: tuple[str, ...]
    threshold: float | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    near: str = ""
    hits: int = 10
    word_hits: int = Query.target_hits

    @property
    def walks(self) -> bool:
        """Whether neighbours are searched for exactly, document by document."""
        return bool(self.near) and "HNSW" not in self.approximations

    @property
    def skips_words(self) -> bool:
        """Whether a neighbour may be ranked without its words.

        weakAnd passes over documents that cannot be among its target hits; one that the other
        side of the OR found is then ranked as if it had none, though its match-features, which
        are computed afresh, show them.
        """
        both = {"text", "vector"} <= set(self.profile.retrieve)
        return both and "weakAnd" in self.approximations

    @property
    def words_meet(self) -> bool:
        """Whether some words count only together, which they do not in this engine."""
        return any(len(group) > 1 for group in self.groups)


def make_replay(record: Record, collection: Collection) -> Replay:
    """Translate a record's request; raises Skipped with the reason."""
    check_record(record, len(collection.documents))
    request = record["request"]
    _check_parameters(request)
    try:
        parts = reduce_query(parse_where(request["yql"]), request, collection)
    except YqlError as error:
        raise Skipped(f"YQL: {error}") from None
    profile = _profile(request, parts, collection)
    text, groups = _text(parts, request, collection.language)
    approximations = _matching(parts, groups, collection)
    vector = _vector(parts, request, collection, profile)
    if parts.nearest is not None and not _is_exact(parts.nearest, collection):
        approximations.append("HNSW")
    if not parts.retrieve and "input.query(qt)" in request:
        raise Skipped("everything, ranked by token vectors alone")
    if not parts.retrieve:
        approximations.append("nothing to rank by")
    hits, offset = (int(float(request.get(n, d))) for n, d in (("hits", 10), ("offset", 0)))
    query = Query(
        text=text,
        vector=vector,
        vectors=_tokens(request, collection),
        profile=profile.name,
        inputs=_inputs(request, profile),
        k=hits + offset,
        target_hits=_target_hits(parts.nearest or parts.text),
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
        near=parts.nearest.arguments[0] if parts.nearest else "",
        hits=hits,
        word_hits=_target_hits(parts.text),
    )


def _check_parameters(request: Mapping[str, Any]) -> None:
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
            if feature.startswith("attribute(") and not feature.startswith("attribute(has_"):
                raise Skipped(f"{feature}: a field of one's own")
    profile = replace(profile, retrieve=parts.retrieve or ("text",))
    count = request.get("ranking.globalPhase.rerankCount")
    if count is not None and profile.global_phase is not None:
        phase = Phase(profile.global_phase.expression, int(float(count)))
        profile = replace(profile, global_phase=phase)
    return profile


def _inputs(request: Mapping[str, Any], profile: Profile) -> dict[str, float]:
    found = {}
    for key, value in request.items():
        match = _INPUT.fullmatch(key)
        if match and not isinstance(value, dict) and match[1] in profile.inputs:
            found[match[1]] = finite_number(value, key)
    return found


def _text(
    parts: Parts, request: Mapping[str, Any], language: str
) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The words that were typed, and those that count only together."""
    item = parts.text
    if item is None:
        return "", ()
    if request.get("language", language) != "en":
        raise Skipped("language detection")
    text = _typed(item, request)
    if not query_terms(text):
        raise Skipped("text without a word")
    index = item.annotations.get("defaultIndex", "caption")
    if index != "caption":
        raise Skipped(f"index {index}")
    if _is_flat(item):
        return text, ()
    one_phrase = item.kind == "word" or item.annotations.get("grammar") in ("phrase", "segment")
    if _QUOTES & set(text) or (one_phrase and len(query_terms(text)) > 1):
        raise Skipped("phrase")
    if _OPERATORS.search(text):
        raise Skipped("operators")
    return text, tuple(g for g in map(tuple, map(query_terms, _JAVA_SPACE.split(text))) if g)


def _grammar(item: Item) -> str:
    """The grammar of a text; those that differ in operators and phrases alone count as `all`."""
    grammar = str(item.annotations.get("grammar", "weakAnd"))
    return "all" if item.kind == "word" or grammar in _AS_ALL else grammar


def _is_flat(item: Item) -> bool:
    return item.kind == "text" or _grammar(item) in _FLAT


def _typed(item: Item, request: Mapping[str, Any]) -> str:
    argument = item.arguments[-1]
    if not argument.startswith("@"):
        return argument
    if not isinstance(request.get(argument[1:]), str):
        raise Skipped(f"no text is given for {argument}")
    return str(request[argument[1:]])


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
    everywhere = frozenset(document.id for document in collection.documents)
    needed = (collection.holders.get(word, frozenset()) for group in groups for word in group)
    found = sorted(everywhere.intersection(*needed))
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
        return _listed(wanted, collection.schema.vector_fields, name)
    if not isinstance(wanted, dict):
        raise Skipped("a query vector that is not given by its recipe")
    try:
        return collection.vector_of(wanted)
    except (KeyError, TypeError):
        raise Skipped("a query vector whose recipe is not known") from None


def _tokens(request: Mapping[str, Any], collection: Collection) -> dict[str, NDArray[np.float32]]:
    """The query's token vectors, by the fields that hold patches of their length."""
    given = request.get("input.query(qt)")
    if given is None:
        return {}
    try:
        tokens = collection.vector_of(given)
    except (KeyError, TypeError):
        raise Skipped("token vectors whose recipe is not known") from None
    fields = collection.schema.vector_fields
    return {field.name: tokens for field in fields if field.labels == "patch"}


def _listed(values: list[Any], fields: Iterable[VectorField], name: str) -> NDArray[np.float32]:
    (dimension,) = (field.dimension for field in fields if field.name == name)
    if len(values) != dimension:
        raise Skipped(f"a query vector of {len(values)} numbers for {dimension}")
    return np.array([finite_number(v, "a number of the query vector") for v in values], np.float32)


def _is_exact(item: Item, collection: Collection) -> bool:
    scanned = item.arguments[0] in collection.schema.scanned
    return scanned or item.annotations.get("approximate") is False


def _target_hits(item: Item | None) -> int:
    for key in ("targetHits", "totalTargetHits"):
        if item is not None and key in item.annotations:
            return whole_number(item.annotations[key], key, 1)
    return Query.target_hits


def _threshold(parts: Parts) -> float | None:
    if parts.nearest is None or "distanceThreshold" not in parts.nearest.annotations:
        return None
    if parts.retrieve != ("vector",):
        raise Skipped("distanceThreshold beside words")
    return finite_number(parts.nearest.annotations["distanceThreshold"], "distanceThreshold")
