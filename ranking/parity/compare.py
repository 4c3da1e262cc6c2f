"""A record's hits against ours: features of every hit, relevance, and which hits there are."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ranking.embedded import EmbeddedEngine
from ranking.expression import parse
from ranking.parity.features import FIRST_PHASE, Table, all_features, no_features
from ranking.parity.records import Collection, Record
from ranking.parity.replay import Replay
from ranking.profile import Phase, Profile
from ranking.types import Document, Filter, Query, Result

__all__ = ["BM25_TOLERANCE", "TOLERANCE", "Comparison", "compare"]

BM25_TOLERANCE = 1e-9
"""Relative, for bm25."""
TOLERANCE = 1e-6
"""Absolute below 1, relative above, for closeness, distance and whatever is made of them."""

Doubles = NDArray[np.float64]


@dataclass
class Comparison:
    """What was found for one record.

    differences: feature, or "relevance", -> largest difference (relative for bm25).
    faults: sentences about what differs by more than is demanded.
    overlap: cut -> share of Vespa's best hits that are among ours.
    ties: whether a phase's window cut through equal scores, so that which hits were reranked
    is arbitrary. values: how many numbers were compared. apart: hits that Vespa ranked by a
    score that does not follow from their match-features, as it does to some in weakAnd.
    """

    differences: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    overlap: dict[int, float] = field(default_factory=dict)
    ties: bool = False
    values: int = 0
    apart: int = 0

    def note(self, name: str, ours: float, vespas: float, *, fault: bool = True) -> None:
        """Record a difference; one that is too large is a fault, or else only counted."""
        difference = _difference(name, ours, vespas)
        large = difference > (BM25_TOLERANCE if name.startswith("bm25(") else TOLERANCE)
        self.values += 1
        if large and not fault:
            self.apart += 1
            return
        self.differences[name] = max(self.differences.get(name, 0.0), difference)
        if large:
            self.faults.append(f"{name}: {ours!r} here, {vespas!r} in Vespa")


def _difference(name: str, ours: float, vespas: float) -> float:
    if ours == vespas or (np.isnan(ours) and np.isnan(vespas)):
        return 0.0
    scale = abs(vespas) if name.startswith("bm25(") else max(abs(vespas), 1.0)
    return abs(ours - vespas) / scale if scale else float("inf")


def compare(record: Record, replay: Replay, collection: Collection) -> Comparison:
    """Ask the engine, and compare with what Vespa answered."""
    found = Comparison()
    hits = record["hits"]
    if "nothing to rank by" in replay.approximations:
        table = no_features(collection, replay.profile)
        _compare_features(record, table, replay.profile, found)
        _compare_window(hits, replay, table, found)
        return found
    table = all_features(collection, replay, [hit[0] for hit in hits])
    _compare_features(record, table, replay.profile, found)
    ours = _answer(collection, replay, table)
    _compare_order(hits, ours, found)
    if replay.exact:
        _compare_exact(hits, ours, replay, table, found)
    else:
        _compare_window(hits, replay, table, found)
    return found


def _use(engine: EmbeddedEngine, profile: Profile) -> str:
    """Put a variant of a profile into the engine; return its name."""
    count = profile.global_phase.rerank_count if profile.global_phase else 0
    name = "_".join([profile.name, *profile.retrieve, str(count)])
    if name not in engine.profiles.names():
        engine.profiles = engine.profiles.replaced([replace(profile, name=name)])
    return name


def _answer(collection: Collection, replay: Replay, table: Table) -> Result:
    """The engine's hits from `offset` on."""
    engine = collection.engine
    query = replace(replay.query, profile=_use(engine, replay.profile))
    if replay.near and replay.exact:
        query = _with_passers_by(query, collection, replay, table)
    result = engine.search(query)
    rows = np.arange(len(result.ids))
    if replay.threshold is not None:
        feature = next(f for f in result.features if f.startswith("distance("))
        rows = rows[result.features[feature] <= replay.threshold]
    rows = rows[replay.offset :]
    return Result(
        ids=tuple(result.ids[row] for row in rows),
        scores=result.scores[rows],
        total=result.total,
    )


def _with_passers_by(query: Query, collection: Collection, replay: Replay, table: Table) -> Query:
    """Let through what Vespa's exact search does: more than its target hits.

    It goes through the documents in the order they were fed and keeps each that is, at that
    point, among the nearest; what a later document displaces stays a hit.
    """
    closeness = f"closeness(field,{replay.near})"
    allowed = _allowed(collection, query.filters)
    nearest: list[float] = []
    found = set()
    for document in collection.documents:
        if replay.near not in document.vectors or document.id not in allowed:
            continue
        near = table[document.id][closeness]
        if len(nearest) < query.target_hits:
            heapq.heappush(nearest, near)
        elif near > nearest[0]:
            heapq.heapreplace(nearest, near)
        else:
            continue
        found.add(document.id)
    if "text" in replay.profile.retrieve:
        found |= {i for i, row in table.items() if row.get("bm25(caption)", 0) and i in allowed}
    only = Filter("id", tuple(sorted(found)))
    return replace(query, filters=(only,), target_hits=len(collection.documents))


def _allowed(collection: Collection, filters: Sequence[Filter]) -> set[str]:
    return {d.id for d in collection.documents if all(_passes(d, f) for f in filters)}


def _passes(document: Document, wanted: Filter) -> bool:
    held = getattr(document, wanted.field)
    values = {held} if isinstance(held, str) else set(held)
    return values.isdisjoint(wanted.values) == wanted.exclude


def _compare_features(record: Record, table: Table, profile: Profile, found: Comparison) -> None:
    names: Sequence[str] = record.get("features") or ()
    plain_bm25 = profile.first_phase == "bm25(caption)" and not profile.global_phase
    for identifier, relevance, *values in record["hits"]:
        ours = table.get(identifier, {})
        for name, value in zip(names, values, strict=True):
            missing = 1.797e308 if name.startswith("distance(") else 0.0
            found.note(name, ours.get(name, missing), value)
        if not names and plain_bm25 and not profile.second_phase:
            found.note("bm25(caption)", ours.get("bm25(caption)", 0.0), relevance)


def _compare_order(hits: Sequence[Sequence[float]], ours: Result, found: Comparison) -> None:
    for cut in (10, 100):
        vespas = {hit[0] for hit in hits[:cut]}
        if vespas:
            found.overlap[cut] = len(vespas.intersection(ours.ids[:cut])) / len(vespas)


def _compare_exact(
    hits: Sequence[Sequence[float]], ours: Result, replay: Replay, table: Table, found: Comparison
) -> None:
    """The same hits, but for ties at the last place; the same relevance of each."""
    scores = dict(zip(ours.ids, ours.scores.tolist(), strict=True))
    vespas = {str(hit[0]): float(hit[1]) for hit in hits}
    if _window_is_tied(replay.profile, table):
        found.ties = True
        if replay.profile.global_phase is None:
            _compare_window(hits, replay, table, found)
        return
    for identifier in vespas.keys() & scores.keys():
        found.note("relevance", scores[identifier], vespas[identifier])
    if not vespas or not scores:
        if vespas or scores:
            found.faults.append(f"{len(scores)} hits here, {len(vespas)} in Vespa")
        return
    last = max(min(vespas.values()), min(scores.values()))
    margin = TOLERANCE * max(1.0, abs(last))
    open_ids = _passers_by(replay, table)
    for here, other, where in ((vespas, scores, "Vespa"), (scores, vespas, "this engine")):
        alone = [
            identifier
            for identifier, score in here.items()
            if identifier not in other and identifier not in open_ids and score > last + margin
        ]
        if alone:
            found.faults.append(f"only {where} has {', '.join(sorted(alone)[:5])}")


def _passers_by(replay: Replay, table: Table) -> set[str]:
    """Documents that only an exact search's way through the documents can have kept.

    Which those are follows from the order in which the server stored them, which is the order
    of feeding for one client, and near it for several.
    """
    if not replay.near:
        return set()
    closeness = f"closeness(field,{replay.near})"
    nearest = sorted(table, key=lambda identifier: -table[identifier][closeness])
    after = nearest[replay.query.target_hits :]
    if "text" not in replay.profile.retrieve:
        return set(after)
    return {i for i in after if not table[i].get("bm25(caption)")}


def _window_is_tied(profile: Profile, table: Table) -> bool:
    """Whether equal first-phase scores leave open which hits are reranked, or how they rank."""
    phases = [phase for phase in (profile.second_phase, profile.global_phase) if phase]
    scores = np.sort([-row[FIRST_PHASE] for row in table.values()])
    for phase in phases:
        count = phase.rerank_count
        if 0 < count < len(scores) and _equal(scores[count - 1], scores[count]):
            return True
        ranks = "reciprocal_rank" in phase.expression
        if ranks and any(_equal(a, b) for a, b in itertools.pairwise(scores[:count])):
            return True
    return False


def _equal(a: float, b: float) -> bool:
    return abs(a - b) <= BM25_TOLERANCE * max(abs(a), abs(b))


def _compare_window(
    hits: Sequence[Sequence[float]], replay: Replay, table: Table, found: Comparison
) -> None:
    """Vespa's own hits, ranked by our features: what its candidates were does not matter then."""
    profile = replay.profile
    ids = [str(hit[0]) for hit in hits]
    if replay.offset or not set(ids) <= table.keys():
        return
    first = np.array([table[identifier][FIRST_PHASE] for identifier in ids])
    vespas = np.array([float(hit[1]) for hit in hits])
    # weakAnd ranks some hits without all of their words, which their match-features do show.
    skips_words = "weakAnd" in replay.approximations
    phase = profile.global_phase or profile.second_phase
    if phase is None:
        for ours, theirs in zip(first, vespas, strict=True):
            found.note("relevance", float(ours), float(theirs), fault=not skips_words)
        return
    count = min(phase.rerank_count, len(ids))
    if (profile.global_phase and profile.second_phase) or count < phase.rerank_count:
        return
    order = np.argsort(-first[:count], kind="stable")
    window = [ids[row] for row in order]
    ours = _evaluate(phase, replay, window, table)[np.argsort(order)]
    if found.ties:
        count = _reranked(ours, vespas[:count])
    for mine, theirs in zip(ours[:count], vespas[:count], strict=True):
        found.note("relevance", float(mine), float(theirs), fault=not skips_words)


def _reranked(ours: Doubles, vespas: Doubles) -> int:
    """How many hits Vespa did rerank: those tied for the last place it may have left out."""
    count = len(ours)
    while count and abs(ours[count - 1] - vespas[count - 1]) > TOLERANCE:
        count -= 1
    return count


def _evaluate(phase: Phase, replay: Replay, window: Sequence[str], table: Table) -> Doubles:
    expression = parse(phase.expression, replay.profile.functions)
    numbers = {**replay.profile.inputs, **replay.query.inputs}
    features: dict[str, Doubles | float] = {f"query({n})": v for n, v in numbers.items()}
    for name in expression.features - features.keys():
        features[name] = np.array([table[identifier][name] for identifier in window])
    return np.broadcast_to(expression.evaluate(features), len(window))
