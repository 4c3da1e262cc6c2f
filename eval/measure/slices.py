"""Metrics by slice: modality, caption length, concept frequency."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from eval.collection.pool import Pool
from eval.measure.results import Estimate, TaskResult, estimate

__all__ = ["SMALLEST", "Slice", "slices"]

# Fewer queries make an interval too wide to be of use.
SMALLEST = 20
_LENGTHS = (
    (5, "up to 5 words"),
    (10, "6 to 10 words"),
    (20, "11 to 20 words"),
    (40, "21 to 40 words"),
)
_LONGER = "over 40 words"
_FREQUENCIES = (
    (3, "in up to 3 documents"),
    (10, "in 4 to 10 documents"),
    (50, "in 11 to 50 documents"),
)
_MORE_FREQUENT = "in more than 50 documents"
_ORDER = [*(n for _, n in _LENGTHS), _LONGER, *(n for _, n in _FREQUENCIES), _MORE_FREQUENT]


@dataclass(frozen=True)
class Slice:
    """The task's metric over the queries of one kind; estimates: profile -> Estimate."""

    protocol: str
    by: str
    name: str
    metric: str
    estimates: dict[str, Estimate]


def slices(result: TaskResult, pool: Pool, seed: int = 0) -> Iterator[Slice]:
    """Every slice of at least 20 queries, where the queries are of two kinds or more."""
    metric = result.metric
    values = {p: {metric: found[metric]} for p, found in result.values.items()}
    for by, kind_of in _kinds(pool).items():
        members: defaultdict[str, list[int]] = defaultdict(list)
        for row, topic in enumerate(result.task.topics):
            if topic.row is not None and (name := kind_of(topic.row)):
                members[name].append(row)
        if len(members) < 2:
            continue
        for name, rows in sorted(members.items(), key=_place):
            if len(rows) < SMALLEST:
                continue
            found = estimate(values, result.clusters, seed, np.array(rows))
            figures = {profile: each[metric] for profile, each in found.items()}
            yield Slice(result.task.protocol, by, name, metric, figures)


def _kinds(pool: Pool) -> dict[str, Callable[[int], str]]:
    """What queries are sliced by: the kind of a document's row, "" for none."""
    counts = Counter(chain.from_iterable(set(concepts) for concepts in pool.concepts))

    def rarest(row: int) -> str:
        if not pool.concepts[row]:
            return ""
        rarity = min(counts[concept] for concept in pool.concepts[row])
        return _bucket(rarity, _FREQUENCIES, _MORE_FREQUENT)

    return {
        "modality": lambda row: pool.modalities[row],
        "caption length": lambda row: _bucket(len(pool.captions[row].split()), _LENGTHS, _LONGER),
        "rarest concept": rarest,
    }


def _place(member: tuple[str, list[int]]) -> tuple[int, int]:
    """Lengths and frequencies in their own order, modalities by how many queries they have."""
    name, rows = member
    return (_ORDER.index(name), 0) if name in _ORDER else (0, -len(rows))


def _bucket(value: int, buckets: tuple[tuple[int, str], ...], rest: str) -> str:
    return next((name for limit, name in buckets if value <= limit), rest)
