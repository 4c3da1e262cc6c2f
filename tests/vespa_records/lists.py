"""Lists of hits: what each must hold by itself, and how two of them lie to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ranking.types import Result
from tests.vespa_records.comparison import TOLERANCE, Comparison, difference
from tests.vespa_records.replay import Replay

__all__ = ["check_list", "compare_ranks", "only_one_has", "overlap"]

_SHOWN = 5


def check_list(answer: Result, replay: Replay, where: str, faults: list[str]) -> None:
    """Every hit once, best first, and as many as were asked for and matched."""
    twice = [identifier for identifier, count in Counter(answer.ids).items() if count > 1]
    if twice:
        faults.append(f"{where} lists {', '.join(twice[:_SHOWN])} more than once")
    # A NaN among the scores is no place in an order; as a value it is compared elsewhere.
    scores = answer.scores[~np.isnan(answer.scores)]
    if (np.diff(scores) > 0).any():
        faults.append(f"{where} lists a hit before a better one")
    if where == "Vespa" or replay.threshold is None:
        wanted = max(0, min(replay.hits, answer.total - replay.offset))
        if len(answer) != wanted:
            faults.append(f"{where} lists {len(answer)} hits, {wanted} of {answer.total} are due")


def only_one_has(vespas: Result, ours: Result, leave: frozenset[str]) -> Iterator[str]:
    """Sentences about hits that only one list has although they beat the other's last."""
    if not len(vespas) or not len(ours):
        return
    last = max(float(np.min(vespas.scores)), float(np.min(ours.scores)))
    margin = TOLERANCE * max(1.0, abs(last))
    for here, other, where in ((vespas, ours, "Vespa"), (ours, vespas, "this engine")):
        there = leave.union(other.ids)
        alone = [
            identifier
            for identifier, score in zip(here.ids, here.scores.tolist(), strict=True)
            if identifier not in there and not score <= last + margin
        ]
        if alone:
            yield f"only {where} has {', '.join(sorted(alone)[:_SHOWN])}"


def compare_ranks(vespas: Result, ours: Result, leave: frozenset[str], found: Comparison) -> None:
    """The same relevance at every rank: the same order, but among equals.

    leave: hits that are passed over in both.
    """
    found.ordered = True
    rows = zip(_kept(vespas, leave), _kept(ours, leave), strict=False)
    for rank, (theirs, mine) in enumerate(rows, start=1):
        if difference("relevance", mine, theirs) > TOLERANCE:
            found.faults.append(f"rank {rank}: relevance {mine!r} here, {theirs!r} in Vespa")
            return


def _kept(answer: Result, leave: frozenset[str]) -> list[float]:
    rows = zip(answer.ids, answer.scores.tolist(), strict=True)
    return [score for identifier, score in rows if identifier not in leave]


def overlap(vespas: Result, ours: Result) -> dict[int, float]:
    """Cut -> share of Vespa's best hits that are among ours."""
    found = {}
    for cut in (10, 100):
        best = set(vespas.ids[:cut])
        if best:
            found[cut] = len(best.intersection(ours.ids[:cut])) / len(best)
    return found
