"""Runs the requests of the page; answers are plain values for JSON."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from encoders.base.errors import UserError
from ranking.attributes import read_condition
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.searcher import Searcher
from ranking.text.tokens import tokenize
from ranking.types import FILTER_FIELDS, Document, Filter, Hit, QueryError, Sort
from rocosearch.explain import why

__all__ = ["Asked", "Desk", "NotThereError", "plain"]

Json = dict[str, Any]

_WORD = re.compile(r"\w+")
_OF_THE_PAGE = ("profiles", "why")
_NOTHING = "Type some words, or give an image."


class NotThereError(UserError):
    """A named profile or document does not exist."""


@dataclass(frozen=True)
class Asked:
    """One search: arguments of `Searcher.search`, under its names, for one or more profiles."""

    text: str = ""
    image: bytes | None = None
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    k: int = 12
    filters: tuple[Filter, ...] = ()
    group_by: str | None = None
    operators: bool = False
    offset: int = 0
    sort: Sort | None = None
    min_score: float | None = None
    min_closeness: float | None = None
    min_probability: float | None = None
    facets: tuple[str, ...] = ()
    inputs: Mapping[str, float] = field(default_factory=dict)
    why: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any], image: bytes | None = None) -> Asked:
        """Build it from the values that `read_query` returns."""
        return cls(
            text=values["text"] or "",
            image=image,
            like=tuple(values["like"]),
            unlike=tuple(values["unlike"]),
            profiles=tuple(dict.fromkeys(values["profile"])),
            k=values["k"],
            filters=(*_filters(values["filter"]), *_filters(values["not"], exclude=True)),
            group_by=values["group"],
            operators=values["operators"] == "true",
            offset=values["offset"],
            sort=_sort(values["sort"]),
            min_score=_number(values["min_score"]),
            min_closeness=_number(values["min_closeness"]),
            min_probability=_number(values["min_probability"]),
            facets=tuple(dict.fromkeys(values["facet"])),
            inputs=_inputs(values["input"]),
            why=values["why"],
        )

    @property
    def empty(self) -> bool:
        """Whether the query is empty."""
        return not (self.text.strip() or self.image or self.like)


class Desk:
    """A searcher with the facets of its documents.

    field: the vector field of the images, "" if there is none. facets: for each
    field, how many documents have each value. Thread-safe.
    """

    def __init__(
        self, searcher: Searcher, facets: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        self.searcher = searcher
        self._facets = facets or {}
        # Asked of the engine once: it reads every profile's expressions to tell.
        info = searcher.engine.info()
        self.profiles = info.profiles
        self.field = info.vector_fields[0].name if info.vector_fields else ""
        if searcher.encoder is not None:
            self.field = encoder_names(searcher.encoder.manifest.fingerprint).embedding

    def about(self) -> Json:
        """Profiles and their inputs, facets, fields with their types, counts, the encoder."""
        engine, encoder = self.searcher.engine, self.searcher.encoder
        info = engine.info()
        vectors = bool(encoder) or self.searcher.embeds
        inputs = {}
        if isinstance(engine, EmbeddedEngine):
            inputs = {n: dict(engine.profiles.resolve(n).inputs) for n in engine.profiles.names()}
        return {
            "documents": info.documents,
            "profiles": list(info.profiles if vectors else info.text_profiles),
            "default": info.default_profile if vectors else "lexical",
            "inputs": inputs,
            "facets": {name: dict(values) for name, values in self._facets.items()},
            "fields": {each.name: each.type for each in info.attributes},
            "filters": [*FILTER_FIELDS, *(each.name for each in info.attributes)],
            "counting": isinstance(engine, EmbeddedEngine),
            "encoder": encoder.manifest.fingerprint[:8] if encoder else "",
            "vectors": vectors,
            "probabilities": self.searcher.calibrated,
        }

    def answer(self, asked: Asked) -> Json:
        """One list of hits for each profile; a ranking that cannot answer has an error instead.

        Raises NotThereError for an unknown profile or document, UserError if the only ranking
        cannot answer.
        """
        self._check_there(asked)
        by = asked.image if asked.image is not None else (asked.like or None)
        profiles = asked.profiles or (self.searcher.default_profile(asked.text, by),)
        if asked.empty:
            empty = {"milliseconds": 0.0, "total": 0, "warnings": [_NOTHING], "hits": []}
            return {"lists": [{"profile": name, **empty} for name in profiles]}
        own = {name: self._inputs_of(name, asked.inputs) for name in profiles}
        if unknown := asked.inputs.keys() - set().union(*own.values()):
            raise QueryError(
                f"No profile asked for has the input {min(unknown)!r}: leave it out, or name a "
                "profile that has it (/about lists them)."
            )
        if len(profiles) == 1:
            return {"lists": [self._list(asked, profiles[0])]}
        return {"lists": [self._list_or_why_not(asked, name) for name in profiles]}

    def _check_there(self, asked: Asked) -> None:
        unknown = set(asked.profiles).difference(self.profiles)
        if unknown:
            there = ", ".join(self.profiles)
            raise NotThereError(f"There is no profile {min(unknown)}; there are {there}.")
        for name in (*asked.like, *asked.unlike):
            if self.searcher.engine.get(name) is None:
                raise NotThereError(f"There is no document {name!r}.")

    def _list_or_why_not(self, asked: Asked, profile: str) -> Json:
        try:
            return self._list(asked, profile)
        except QueryError as error:
            return {"profile": profile, "error": str(error), "hits": []}

    def _list(self, asked: Asked, profile: str) -> Json:
        start = time.perf_counter()
        arguments = {name: value for name, value in vars(asked).items() if name not in _OF_THE_PAGE}
        arguments |= {"profile": profile, "inputs": self._inputs_of(profile, asked.inputs)}
        result = self.searcher.search(**arguments, frames=True)
        stems = frozenset(tokenize(asked.text))
        return {
            "profile": profile,
            **({"why": _explained(self.searcher, asked.why, arguments)} if asked.why else {}),
            "milliseconds": 1000 * (time.perf_counter() - start),
            "total": result.total,
            "warnings": list(result.warnings),
            "facets": {name: dict(counts) for name, counts in result.facets.items()},
            "hits": [_hit(hit, stems) for hit in result],
        }

    def _inputs_of(self, profile: str, inputs: Mapping[str, float]) -> Mapping[str, float]:
        """The inputs that this profile has; rankings side by side share one address."""
        engine = self.searcher.engine
        if (
            not (inputs and isinstance(engine, EmbeddedEngine))
            or profile not in engine.profiles.names()
        ):
            return inputs
        own = engine.profiles.resolve(profile).inputs
        return {name: value for name, value in inputs.items() if name in own}


def plain(document: Document) -> Json:
    """A document as JSON, without its vectors."""
    return {"id": document.id, **document.content(), "caption": document.caption or ""}


def _explained(searcher: Searcher, identifier: str, arguments: Json) -> Json:
    told = why(searcher, identifier, **arguments)
    score = {"score": _finite(told["score"])} if "score" in told else {}
    features = {"features": _shown(told["features"])} if "features" in told else {}
    return {**told, **score, **features}


def _finite(score: float) -> float:
    """The score, or a number that JSON can write."""
    return score if math.isfinite(score) else -1e308


def _inputs(given: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, _, value in (each.partition("=") for each in given):
        if found.setdefault(name, float(value)) != float(value):
            raise QueryError(f"The input {name!r} is given twice, with different values.")
    return found


def _filters(conditions: Sequence[str], *, exclude: bool = False) -> tuple[Filter, ...]:
    """Conditions as filters: several values of a field are alternatives."""
    values: dict[Any, tuple[str, ...]] = {}
    for each in (read_condition(condition, exclude=exclude) for condition in conditions):
        key = each.field, each.comparison
        values[key] = (*values.get(key, ()), *each.values)
    return tuple(Filter(f, found, exclude, how) for (f, how), found in values.items())


def _sort(value: str | None) -> Sort | None:
    if value is None:
        return None
    return Sort(value.removeprefix("-"), descending=value.startswith("-"))


def _number(value: str | None) -> float | None:
    return None if value is None else float(value)


def _hit(hit: Hit, stems: frozenset[str]) -> Json:
    document = hit.document
    caption = (document.caption if document else "") or ""
    return {
        "id": hit.id,
        "score": _finite(hit.score),
        **({} if math.isnan(hit.probability) else {"probability": hit.probability}),
        "features": _shown(hit.features),
        "caption": _marked(caption, stems),
        "modality": document.modality if document else "",
        "group": document.group_id if document else "",
        **({"picture": hit.picture} if hit.picture != hit.id else {}),
        **({"frames": dict(hit.frames)} if hit.frames else {}),
        "fields": dict(document.attributes) if document else {},
    }


def _shown(features: Mapping[str, float]) -> dict[str, float]:
    """BM25 and closeness: the profile's first of each by its short name, further ones in full."""
    shown: dict[str, float] = {}
    for name, value in features.items():
        short = name.partition("(")[0]
        if short in {"bm25", "closeness"} and math.isfinite(value):
            shown[name if short in shown else short] = value
    return shown


@lru_cache(50_000)
def _stems(word: str) -> frozenset[str]:
    return frozenset(tokenize(word))


def _marked(caption: str, stems: frozenset[str]) -> list[tuple[str, bool]]:
    """The caption in pieces, each with a flag for query words."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for word in _WORD.finditer(caption):
        if stems.isdisjoint(_stems(word[0])):
            continue
        pieces += [(caption[end : word.start()], False), (word[0], True)]
        end = word.end()
    return [piece for piece in (*pieces, (caption[end:], False)) if piece[0]]
