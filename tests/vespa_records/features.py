"""Our features of every document, for one recorded query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ranking.expressions.expression import parse
from ranking.profiles.profile import Profile
from tests.vespa_records.records import Collection
from tests.vespa_records.replay import Replay

__all__ = ["FIRST_PHASE", "Table", "all_features", "known_features", "no_features"]

Table = Mapping[str, Mapping[str, Any]]
"""Document id -> feature -> value, a label of `closest()`."""

FIRST_PHASE = "first phase"
"""The name under which a table holds the first phase's score."""


def all_features(collection: Collection, replay: Replay, ids: Sequence[str]) -> Table:
    """Features of every document that any retriever can find, whatever the request let through.

    Beside the match-features, the scores of the first phase as FIRST_PHASE. For the hits,
    words that count only together do.
    """
    table: dict[str, Mapping[str, Any]] = {**_features_of(collection, replay, replay.query.text)}
    apart = [group for group in replay.groups if len(group) > 1]
    by_text: dict[str, list[str]] = {}
    for identifier in ids if apart else ():
        whole = [g for g in replay.groups if _has_all(collection, identifier, g)]
        if not set(apart) <= set(whole):
            by_text.setdefault(" ".join(w for g in whole for w in g), []).append(identifier)
    for text, hits in by_text.items():
        if text or replay.query.vector is not None:
            counted: Table = _features_of(collection, replay, text)
        else:
            counted = no_features(collection, replay.profile)
        table |= {i: counted[i] for i in hits if i in counted}
    return table


def _has_all(collection: Collection, identifier: str, words: Sequence[str]) -> bool:
    return all(identifier in collection.holders.get(word, ()) for word in words)


def no_features(collection: Collection, profile: Profile) -> Table:
    """What every document has where a query has neither words nor a vector: zeros."""
    names = [n for n in known_features(profile, "") if not n.startswith("distance(")]
    numbers = {f"query({name})": value for name, value in profile.inputs.items()}
    row = {}
    for name, text in [*((n, n) for n in names), (FIRST_PHASE, profile.first_phase)]:
        expression = parse(text, profile.functions)
        zeros = dict.fromkeys(expression.features, 0.0)
        row[name] = float(expression.evaluate({**zeros, **numbers}))
    return {document.id: row for document in collection.documents}


def _features_of(collection: Collection, replay: Replay, text: str) -> dict[str, dict[str, Any]]:
    engine = collection.engine
    profile = replace(
        replay.profile,
        name=f"{replay.profile.name}_{replay.near}_features",
        retrieve=("text", "vector"),
        second_phase=None,
        global_phase=None,
        match_features=known_features(replay.profile, replay.near),
    )
    if profile.name not in engine.profiles.names():
        engine.profiles = engine.profiles.replaced([profile])
    everything = engine.count()
    query = replace(
        replay.query,
        text=text,
        profile=profile.name,
        k=everything,
        target_hits=everything,
        matching="or",
        filters=(),
    )
    return {
        hit.id: {**hit.features, **hit.closest, FIRST_PHASE: hit.score}
        for hit in engine.search(query)
    }


def known_features(profile: Profile, near: str) -> tuple[str, ...]:
    """The match-features, every feature that the phases read, and what the nearest are near by."""
    read = {name for e in profile.expressions() for name in e.features}
    plain = {name for name in read if not name.startswith("query(")}
    nearness = [f"closeness(field,{near})", f"distance(field,{near})"] if near else []
    return tuple(dict.fromkeys([*profile.match_features, *sorted(plain), *nearness]))
