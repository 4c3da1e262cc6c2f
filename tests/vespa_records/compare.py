"""A record's answer against ours: which hits, in which order, how many, and every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.profile import Profile
from ranking.types import Filter, Query, Result
from tests.vespa_records.comparison import TOLERANCE, Comparison
from tests.vespa_records.features import Table, all_features, known_features, no_features
from tests.vespa_records.lists import check_list, compare_ranks, only_one_has, overlap
from tests.vespa_records.matches import Matches, find_matches, walk_neighbours, with_words
from tests.vespa_records.records import Collection, Record
from tests.vespa_records.replay import Replay, Skipped
from tests.vespa_records.schema_file import MAX_SIM, OWN_MAX_SIM
from tests.vespa_records.window import (
    compare_common,
    compare_shown,
    compare_ties,
    is_open,
    last_place_is_open,
)

__all__ = ["compare"]


def compare(record: Record, replay: Replay, collection: Collection) -> Comparison:
    """Ask the engine, and compare with what Vespa answered.

    Raises Skipped where the record shows a feature that the profile does not compute.
    """
    found = Comparison()
    vespas = _recorded(record)
    nothing = "nothing to rank by" in replay.approximations
    if nothing:
        table = no_features(collection, replay.profile)
    else:
        table = all_features(collection, replay, vespas.ids)
    _compare_features(record, replay, table, found)
    matched = find_matches(collection, replay, table)
    check_list(vespas, replay, "Vespa", found.faults)
    _compare_total(vespas, matched, found)
    strangers = [i for i in vespas.ids if i not in matched.possible]
    if strangers:
        found.faults.append(
            f"Vespa has {', '.join(strangers[:5])}, which nothing asked for matches"
        )
        return found
    if nothing:
        compare_shown(vespas, replay, table, found)
        return found
    ours = _answer(collection, replay, table)
    check_list(ours, replay, "this engine", found.faults)
    _check_our_total(ours, vespas, collection, replay, table, found)
    found.overlap = overlap(vespas, ours)
    if replay.exact:
        _compare_exact(vespas, ours, replay, table, matched, collection, found)
    else:
        compare_shown(vespas, replay, table, found)
        compare_common(vespas, ours, replay, table, found)
        _check_skipped(vespas, collection, replay, found)
    return found


def _recorded(record: Record) -> Result:
    return Result(
        ids=tuple(hit[0] for hit in record["hits"]),
        scores=np.array([hit[1] for hit in record["hits"]], np.float64),
        total=record["total"],
    )


def _compare_features(record: Record, replay: Replay, table: Table, found: Comparison) -> None:
    names = [name.replace(", ", ",") for name in record.get("features") or ()]
    names = [OWN_MAX_SIM.sub(MAX_SIM, name) for name in names]
    profile = replay.profile
    unknown = sorted(set(names) - set(known_features(profile, replay.near)))
    if unknown:
        raise Skipped(f"feature {', '.join(unknown)}")
    plain_bm25 = _is_first_phase_only(profile) and profile.first_phase == "bm25(caption)"
    for identifier, relevance, *values in record["hits"]:
        ours = table.get(identifier, {})
        if _found_by_another(replay, ours, names, values):
            found.apart.add(identifier)
            continue
        for name, value in zip(names, values, strict=True):
            if name.startswith("closest("):
                found.values += 1
                if ours.get(name, "") != (value or ""):
                    found.faults.append(f"{name}: {ours.get(name)!r} here, {value!r} in Vespa")
                continue
            missing = 1.797e308 if name.startswith("distance(") else 0.0
            found.note(name, ours.get(name, missing), value)
        if not names and plain_bm25:
            found.note("bm25(caption)", ours.get("bm25(caption)", 0.0), relevance)


def _found_by_another(
    replay: Replay, ours: Mapping[str, Any], names: Sequence[str], values: Sequence[Any]
) -> bool:
    """Whether HNSW found a document by another of its vectors than the nearest, and farther."""
    near, several = f"closeness(field,{replay.near})", f"closest({replay.near})" in names
    if "HNSW" not in replay.approximations or not several or near not in names:
        return False
    return values[names.index(near)] < ours.get(near, 0.0) - TOLERANCE


def _is_first_phase_only(profile: Profile) -> bool:
    return profile.second_phase is None and profile.global_phase is None


def _compare_total(vespas: Result, matched: Matches, found: Comparison) -> None:
    found.total = "same" if matched.low == matched.high else "within"
    if not matched.low <= vespas.total <= matched.high:
        follows = f"{matched.low} to {matched.high}"
        if matched.low == matched.high:
            follows = str(matched.low)
        found.faults.append(f"total: {vespas.total} in Vespa, {follows} by the documents")


def _check_our_total(
    ours: Result,
    vespas: Result,
    collection: Collection,
    replay: Replay,
    table: Table,
    found: Comparison,
) -> None:
    """Our own count: words that meet are two words here, and no threshold cuts it."""
    own = replace(replay, groups=(), threshold=None)
    if not replay.exact:  # then the engine finds exactly its target hits
        hnsw = (*replay.approximations, "HNSW")
        own = replace(own, approximations=hnsw, word_hits=replay.query.target_hits)
    matched = find_matches(collection, own, table)
    if not matched.low <= ours.total <= matched.high:
        found.faults.append(
            f"total: {ours.total} here, {matched.low} to {matched.high} by the documents"
        )
    asked_alike = not replay.words_meet and replay.threshold is None
    follows = replay.exact and asked_alike and matched.low == matched.high
    if follows and ours.total != vespas.total:
        found.faults.append(f"total: {ours.total} here, {vespas.total} in Vespa")


# Our answer ----------------------------------------------------------------------------------


def _use(engine: EmbeddedEngine, profile: Profile) -> str:
    """Put a variant of a profile into the engine; return its name."""
    count = profile.global_phase.rerank_count if profile.global_phase else 0
    name = "_".join([profile.name, *profile.retrieve, str(count)])
    if name not in engine.profiles.names():
        engine.profiles = engine.profiles.replaced([replace(profile, name=name)])
    return name


def _answer(collection: Collection, replay: Replay, table: Table) -> Result:
    """The engine's hits from `offset` on."""
    query = replace(replay.query, profile=_use(collection.engine, replay.profile))
    if replay.walks and replay.exact:
        query = _with_passers_by(query, collection, replay, table)
    result = collection.engine.search(query)
    rows = np.arange(len(result.ids))
    if replay.threshold is not None:
        distances = [table[i][f"distance(field,{replay.near})"] for i in result.ids]
        rows = rows[np.array(distances) <= replay.threshold]
    rows = rows[replay.offset :]
    return Result(
        ids=tuple(result.ids[row] for row in rows),
        scores=result.scores[rows],
        total=result.total,
    )


def _with_passers_by(query: Query, collection: Collection, replay: Replay, table: Table) -> Query:
    """Let through what Vespa's exact search does: more than its target hits."""
    found = walk_neighbours(collection, replay, table)
    if "text" in replay.profile.retrieve:
        found |= with_words(collection, replay)
    only = Filter("id", tuple(sorted(found)))
    return replace(query, filters=(only,), target_hits=len(collection.documents))


# Where Vespa's hits follow from the documents --------------------------------------------------


def _compare_exact(
    vespas: Result,
    ours: Result,
    replay: Replay,
    table: Table,
    matched: Matches,
    collection: Collection,
    found: Comparison,
) -> None:
    """The same hits, but for ties at the last place; the same relevance of each and order."""
    candidates = [table[i] for i in matched.possible]
    if is_open(replay, candidates):
        found.ties = True
        if last_place_is_open(replay, candidates):
            compare_shown(vespas, replay, table, found)
        else:
            compare_ties((vespas, ours), matched.possible, replay, table, found)
        return
    theirs = dict(zip(vespas.ids, vespas.scores.tolist(), strict=True))
    for identifier, score in zip(ours.ids, ours.scores.tolist(), strict=True):
        if identifier in theirs:
            found.note("relevance", score, theirs[identifier])
    beyond = _beyond_target(replay, table, matched, collection)
    found.faults += only_one_has(vespas, ours, beyond)
    compare_ranks(vespas, ours, beyond, found)


def _beyond_target(
    replay: Replay, table: Table, matched: Matches, collection: Collection
) -> frozenset[str]:
    """Documents that only an exact search's way through the documents can have kept.

    Which those are follows from the order in which the server stored them: known for one
    client, for several only nearly.
    """
    if not replay.walks or collection.fed_in_order:
        return frozenset()
    closeness = f"closeness(field,{replay.near})"
    nearest = sorted(matched.possible, key=lambda i: -table[i].get(closeness, 0.0))
    after = frozenset(nearest[replay.query.target_hits :])
    of_words = "text" in replay.profile.retrieve
    return after - (with_words(collection, replay) if of_words else frozenset())


def _check_skipped(
    vespas: Result, collection: Collection, replay: Replay, found: Comparison
) -> None:
    """No more hits may be ranked without their words than the neighbours can have brought."""
    of_words = len(with_words(collection, replay)) if found.apart else 0
    most = vespas.total - min(replay.word_hits, of_words)
    if not replay.walks:
        most = min(most, replay.query.target_hits)
    if len(found.apart) > most:
        found.faults.append(
            f"{len(found.apart)} hits are ranked as if without words, at most {most} can be"
        )
