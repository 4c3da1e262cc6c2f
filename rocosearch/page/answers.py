"""What the page asks, and what it is told: plain values, ready to be JSON."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ranking.names import encoder_names
from ranking.searcher import Searcher
from ranking.text.tokens import tokenize
from ranking.types import Filter, Hit, Query, QueryError, Result

__all__ = ["LONGEST_TEXT", "MOST_HITS", "MOST_PROFILES", "Asked", "Desk", "read_asked"]

MOST_HITS = 100
MOST_PROFILES = 4
LONGEST_TEXT = 10_000

Json = dict[str, Any]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Asked:
    """One search of the page. like: the id of a document whose picture asks, "" for none."""

    text: str = ""
    image: bytes | None = None
    like: str = ""
    profiles: tuple[str, ...] = ()
    k: int = 12
    modality: str = ""


def read_asked(parameters: Mapping[str, Sequence[str]], image: bytes | None = None) -> Asked:
    """Read a request's parameters, values as lists. Raises QueryError in a sentence."""

    def one(name: str) -> str:
        return next(iter(parameters.get(name, ())), "")

    text, number = one("text"), one("k") or "12"
    if len(text) > LONGEST_TEXT:
        raise QueryError(f"The text has {len(text):,} characters; at most {LONGEST_TEXT:,}.")
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= MOST_HITS:
        raise QueryError(f"k is {number!r}: give a number from 1 to {MOST_HITS}.")
    profiles = tuple(dict.fromkeys(parameters.get("profile", ())))
    if len(profiles) > MOST_PROFILES:
        raise QueryError(f"{len(profiles)} profiles at once; at most {MOST_PROFILES}.")
    asked = Asked(text, image, one("like"), profiles, int(number), one("modality"))
    if not (text.strip() or image or asked.like):
        raise QueryError("Type some words, or give an image.")
    return asked


class Desk:
    """A searcher behind a lock: the page's requests come in threads, the encoder takes one."""

    def __init__(self, searcher: Searcher, modalities: Sequence[str] = ()) -> None:
        self._searcher = searcher
        self._modalities = tuple(modalities)
        self._lock = threading.Lock()

    def about(self) -> Json:
        """What the page offers: profiles, modalities, counts, the encoder."""
        info = self._searcher.engine.info()
        encoder = self._searcher.encoder
        vectors = bool(encoder) or self._searcher.embeds
        return {
            "documents": info.documents,
            "profiles": list(info.profiles) if vectors else ["lexical"],
            "default": info.default_profile if vectors else "lexical",
            "modalities": list(self._modalities),
            "encoder": encoder.manifest.fingerprint[:8] if encoder else "",
        }

    def answer(self, asked: Asked) -> Json:
        """One list of hits for each profile. Raises QueryError or EngineError."""
        with self._lock:
            lists = [self._list(asked, name) for name in asked.profiles or ("",)]
        return {"lists": lists, "like": asked.like}

    def _list(self, asked: Asked, profile: str) -> Json:
        start = time.perf_counter()
        by = asked.image or asked.like
        profile = profile or self._searcher.default_profile(asked.text, by or None)
        result = self._like(asked, profile) if asked.like else self._searched(asked, profile)
        stems = frozenset(tokenize(asked.text))
        return {
            "profile": profile,
            "milliseconds": 1000 * (time.perf_counter() - start),
            "total": result.total,
            "warnings": list(result.warnings),
            "hits": [_hit(hit, stems) for hit in result],
        }

    def _searched(self, asked: Asked, profile: str) -> Result:
        return self._searcher.search(
            asked.text,
            image=asked.image,
            profile=profile,
            k=asked.k,
            filters=_filters(asked),
        )

    def _like(self, asked: Asked, profile: str) -> Result:
        """Documents near a document's own vector, itself left out."""
        engine, encoder = self._searcher.engine, self._searcher.encoder
        document = engine.get(asked.like)
        if document is None:
            raise QueryError(f"There is no document {asked.like!r} any more.")
        name = encoder_names(encoder.manifest.fingerprint).embedding if encoder else ""
        if name not in document.vectors:
            raise QueryError(f"{asked.like} has no picture in this index to compare with.")
        return engine.search(
            Query(
                text=asked.text,
                vector=document.vectors[name],
                profile=profile,
                k=asked.k,
                filters=_filters(asked),
                exclude_ids=frozenset({asked.like}),
            )
        )


def _filters(asked: Asked) -> tuple[Filter, ...]:
    return (Filter("modality", (asked.modality,)),) if asked.modality else ()


def _hit(hit: Hit, stems: frozenset[str]) -> Json:
    document = hit.document
    caption = (document.caption if document else "") or ""
    return {
        "id": hit.id,
        "score": hit.score,
        "features": {name.partition("(")[0]: v for name, v in _shown(hit.features)},
        "caption": _marked(caption, stems),
        "modality": document.modality if document else "",
        "group": document.group_id if document else "",
    }


def _shown(features: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(n, v) for n, v in features.items() if n.startswith(("bm25(", "closeness("))]


def _marked(caption: str, stems: frozenset[str]) -> list[tuple[str, bool]]:
    """The caption in pieces, each with whether it is one of the query's words."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for word in _WORD.finditer(caption):
        if stems.isdisjoint(tokenize(word[0])):
            continue
        pieces += [(caption[end : word.start()], False), (word[0], True)]
        end = word.end()
    return [piece for piece in (*pieces, (caption[end:], False)) if piece[0]]
