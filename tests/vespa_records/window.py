"""Relevance by our features: of every hit, and over the window that a later phase reranks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.expressions.expression import parse
from ranking.profiles.profile import Phase, Profile
from ranking.types import Result
from tests.vespa_records.comparison import BM25_TOLERANCE, TOLERANCE, Comparison, difference
from tests.vespa_records.features import FIRST_PHASE, Table
from tests.vespa_records.replay import Replay

__all__ = ["compare_common", "compare_shown", "compare_ties", "is_open", "last_place_is_open"]

Doubles = NDArray[np.float64]
Row = Mapping[str, float]


# Windows that equal scores leave open ----------------------------------------------------------


def is_open(replay: Replay, candidates: Iterable[Row]) -> bool:
    """Whether equal first-phase scores leave open which hits are reranked, or how they rank."""
    scores = _first_phase(candidates)
    if _last_place_is_open(replay.profile, scores):
        return True
    phase = replay.profile.global_phase
    if phase is None or not _ranks(phase, replay.profile):
        return False
    return any(_equal(a, b) for a, b in itertools.pairwise(scores[: phase.rerank_count]))


def last_place_is_open(replay: Replay, candidates: Iterable[Row]) -> bool:
    """Whether a window ends between equal first-phase scores."""
    return _last_place_is_open(replay.profile, _first_phase(candidates))


def _first_phase(candidates: Iterable[Row]) -> Doubles:
    return np.sort([row[FIRST_PHASE] for row in candidates])[::-1]


def _last_place_is_open(profile: Profile, scores: Doubles) -> bool:
    counts = [p.rerank_count for p in (profile.second_phase, profile.global_phase) if p]
    return any(0 < n < len(scores) and _equal(scores[n - 1], scores[n]) for n in counts)


def _ranks(phase: Phase, profile: Profile) -> bool:
    texts = (phase.expression, *profile.functions.values())
    return any("reciprocal_rank" in text for text in texts)


def _equal(a: float, b: float) -> bool:
    return bool(abs(a - b) <= BM25_TOLERANCE * max(abs(a), abs(b)))


# Comparisons -----------------------------------------------------------------------------------


def compare_common(
    vespas: Result, ours: Result, replay: Replay, table: Table, found: Comparison
) -> None:
    """The engine's own relevance of hits that both lists have, where it is one hit's alone."""
    if np.isnan(ours.scores).any() and not np.isnan(vespas.scores).any():
        found.faults.append("relevance: NaN here, not in Vespa")
    profile = replay.profile
    if profile.global_phase or replay.words_meet or (profile.second_phase and replay.offset):
        return
    theirs = dict(zip(vespas.ids, vespas.scores.tolist(), strict=True))
    window = len(ours)
    if profile.second_phase is not None:
        window = profile.second_phase.rerank_count
        reranked, edge = _split(vespas, window)
        theirs = {i: theirs[i] for i in reranked if _is_above(theirs[i], edge)}
    for identifier, score in zip(ours.ids[:window], ours.scores.tolist(), strict=False):
        if identifier in theirs:
            _note(identifier, score, theirs[identifier], replay, table, found)


def compare_shown(vespas: Result, replay: Replay, table: Table, found: Comparison) -> None:
    """Vespa's own hits, ranked by our features: what its candidates were does not matter then."""
    profile = replay.profile
    phase = profile.global_phase or profile.second_phase
    if phase is None:
        for identifier, score in zip(vespas.ids, vespas.scores.tolist(), strict=True):
            _note(identifier, table[identifier][FIRST_PHASE], score, replay, table, found)
        return
    shown = min(phase.rerank_count, vespas.total)
    both = profile.global_phase and profile.second_phase
    if replay.offset or both or not len(vespas) or len(vespas) < shown:
        return
    if profile.global_phase is None:
        _compare_second(vespas, phase, replay, table, found)
        return
    window = _best(vespas, shown, table)
    if window:
        _compare_global([vespas], phase, window, replay, table, found)


def compare_ties(
    answers: Iterable[Result],
    possible: Iterable[str],
    replay: Replay,
    table: Table,
    found: Comparison,
) -> None:
    """Relevance by reciprocal ranks, where equal first-phase scores stand in any order."""
    phase = replay.profile.global_phase
    if phase is None or replay.profile.second_phase is not None:
        return
    best = sorted(possible, key=lambda identifier: -table[identifier][FIRST_PHASE])
    _compare_global(answers, phase, best[: phase.rerank_count], replay, table, found)


def _note(
    identifier: str, mine: float, theirs: float, replay: Replay, table: Table, found: Comparison
) -> None:
    """Compare one hit's first-phase relevance; one ranked without its words is set apart."""
    if identifier in found.apart:
        return
    if replay.skips_words and difference("relevance", mine, theirs) > TOLERANCE:
        wordless = {identifier: {**table[identifier], "bm25(caption)": 0.0}}
        first = Phase(replay.profile.first_phase)
        (score,) = _evaluate(first, replay, [identifier], wordless).tolist()
        if difference("relevance", score, theirs) <= TOLERANCE:
            found.apart.add(identifier)
            return
    found.note("relevance", mine, theirs)


def _is_above(score: float, edge: float) -> bool:
    return not score <= edge + _margin(edge)  # NaN is: it has no place, and must be explained


def _margin(score: float) -> float:
    return TOLERANCE * max(1.0, abs(score))


def _split(vespas: Result, count: int) -> tuple[tuple[str, ...], float]:
    """The hits that were reranked, and the score at which those that were not begin.

    What was not reranked is moved below what was, to begin at the lowest of it.
    """
    reranked = vespas.ids[:count]
    beyond = vespas.total > count
    edge = float(vespas.scores[len(reranked) - 1]) if beyond and reranked else -np.inf
    return reranked, edge


def _compare_second(
    vespas: Result, phase: Phase, replay: Replay, table: Table, found: Comparison
) -> None:
    """Every hit above the edge; of those at the edge as many as were reranked."""
    reranked, edge = _split(vespas, phase.rerank_count)
    scores = dict(zip(vespas.ids, vespas.scores.tolist(), strict=True))
    above = [i for i in reranked if _is_above(scores[i], edge)]
    at_edge = [i for i in vespas.ids if abs(scores[i] - edge) <= _margin(edge)]
    computed = dict(
        zip(scores, _evaluate(phase, replay, list(scores), table).tolist(), strict=True)
    )
    at_edge.sort(key=lambda i: abs(computed[i] - scores[i]))
    # Where the list ends at the edge, what was reranked there need not be in it.
    ends = vespas.total > len(vespas) and float(vespas.scores[-1]) >= edge - _margin(edge)
    wanted = 0 if ends else len(reranked) - len(above)
    for identifier in above + at_edge[:wanted]:
        found.note("relevance", computed[identifier], scores[identifier])


def _best(vespas: Result, count: int, table: Table) -> list[str]:
    """The hits that were reranked, or none where equal scores leave that open."""
    reranked, edge = _split(vespas, count)
    scores = dict(zip(vespas.ids, vespas.scores.tolist(), strict=True))
    above = [i for i in reranked if _is_above(scores[i], edge)]
    at_edge = [i for i in vespas.ids if abs(scores[i] - edge) <= _margin(edge)]
    at_edge.sort(key=lambda i: -table[i][FIRST_PHASE])
    wanted = len(reranked) - len(above)
    if 0 < wanted < len(at_edge):
        last, next_ = (table[at_edge[row]][FIRST_PHASE] for row in (wanted - 1, wanted))
        if _equal(last, next_):
            return []
    return above + at_edge[:wanted]


def _compare_global(
    answers: Iterable[Result],
    phase: Phase,
    window: Sequence[str],
    replay: Replay,
    table: Table,
    found: Comparison,
) -> None:
    bounds = _bounds(phase, window, replay, table)
    for answer in answers:
        for identifier, score in zip(answer.ids, answer.scores.tolist(), strict=True):
            if identifier in bounds:
                low, high = bounds[identifier]
                # So ordered, a recorded NaN leaves the bound: it lies within none.
                found.note("relevance", max(low, min(high, score)), score)


def _bounds(
    phase: Phase, window: Sequence[str], replay: Replay, table: Table
) -> dict[str, tuple[float, float]]:
    """Each hit's relevance if it stands first, and last, among its equals of the first phase."""
    first = {identifier: table[identifier][FIRST_PHASE] for identifier in window}
    order = sorted(window, key=lambda identifier: -first[identifier])
    scores = dict(zip(order, _evaluate(phase, replay, order, table).tolist(), strict=True))
    bounds = {identifier: (score, score) for identifier, score in scores.items()}
    if not _ranks(phase, replay.profile):
        return bounds
    for start, stop in _runs(order, lambda a, b: _equal(first[a], first[b])):
        for row in range(start, stop):
            others = order[start:row] + order[row + 1 : stop]
            ends = ([order[row], *others], [*others, order[row]])
            values = []
            for end in ends:
                at = start if end[0] == order[row] else stop - 1
                turned = [*order[:start], *end, *order[stop:]]
                values.append(float(_evaluate(phase, replay, turned, table)[at]))
            bounds[order[row]] = (min(values), max(values))
    return bounds


def _runs(items: Sequence[str], alike: Callable[[str, str], bool]) -> list[tuple[int, int]]:
    """[start, stop) of every run of two or more items that are alike."""
    starts = [
        0,
        *(row for row in range(1, len(items)) if not alike(items[row - 1], items[row])),
        len(items),
    ]
    return [(a, b) for a, b in itertools.pairwise(starts) if b - a > 1]


def _evaluate(phase: Phase, replay: Replay, window: Sequence[str], table: Table) -> Doubles:
    expression = parse(phase.expression, replay.profile.functions)
    numbers = {**replay.profile.inputs, **replay.query.inputs}
    features: dict[str, Doubles | float] = {f"query({n})": v for n, v in numbers.items()}
    for name in expression.features - features.keys():
        features[name] = np.array([table[identifier][name] for identifier in window])
    return np.broadcast_to(expression.evaluate(features), len(window))
