"""The overlap curve: queries that share fewer and fewer words with the caption.

Captions stay indexed; the query is the caption with a share of its words dropped, so that what
lexical ranking is handed shrinks step by step. Two orders: at random, and stop words before all
others. What is dropped at one step stays dropped at the next.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from random import Random
from typing import Literal

import numpy as np

from eval.collection.phrases import STOP_WORDS
from eval.collection.pool import Pool
from eval.protocols.known_item import SHORTEST_SPLIT, equal_captions
from eval.protocols.tasks import Skipped, Task, Topic, make_task
from ingest.corpus.duplicates import normal_caption

__all__ = ["DROPPED", "ORDERS", "Order", "overlap", "step_of"]

Order = Literal["random", "stop-words"]

ORDERS: tuple[Order, ...] = ("random", "stop-words")
DROPPED = (0, 25, 50, 75, 90)  # percent of the words
MOST_QUERIES = 1_000
SEED = 0


def overlap(pool: Pool) -> list[Task | Skipped]:
    """A task for each step of both curves; beyond 1,000 queries a seeded sample."""
    equal = equal_captions(pool)
    words = [text.split() for text in pool.captions]
    rows = [row for row in pool.query_rows if len(words[row]) >= SHORTEST_SPLIT and equal[row]]
    if not rows:
        return [Skipped("overlap", f"no caption has {SHORTEST_SPLIT} tokens or more")]
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:MOST_QUERIES])
    sampled = [rows[i] for i in chosen.tolist()]
    left_out = {
        f"caption of under {SHORTEST_SPLIT} tokens": len(pool.query_rows) - len(rows),
        f"beyond a random sample of {MOST_QUERIES}": len(rows) - len(sampled),
    }
    at_random = [_shuffled(name, len(each)) for name, each in zip(pool.ids, words, strict=True)]
    places = {"random": at_random, "stop-words": _stop_words_first(words, at_random)}
    return [
        _step(pool, order, percent, sampled, words, places[order], equal, left_out)
        for order in ORDERS
        for percent in DROPPED
        if percent or order == ORDERS[0]
    ]


def step_of(protocol: str) -> tuple[Order, int] | None:
    """Order and percent of a step's name; None for other protocols.

    >>> step_of("overlap-stop-words-75")
    ('stop-words', 75)
    """
    for order in ORDERS:
        if protocol.startswith(f"overlap-{order}-"):
            return order, int(protocol.rpartition("-")[2])
    return None


def _step(
    pool: Pool,
    order: Order,
    percent: int,
    rows: list[int],
    words: list[list[str]],
    places: list[list[int]],
    equal: list[list[int]],
    left_out: dict[str, int],
) -> Task:
    asked = [_kept(said, places[row], percent) for row, said in enumerate(words)]
    normalised = [normal_caption(text) for text in asked]
    # Captions that leave the very same words cannot be told apart by them.
    same: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(normalised):
        same[text].append(row)
    how = "at random" if order == "random" else "stop words first"
    task = make_task(
        pool,
        f"overlap-{order}-{percent}",
        f"A caption with {percent} % of its words dropped, {how}, finds its image.",
        [Topic(pool.ids[row], asked[row], row) for row in rows],
        [sorted({*equal[row], *same[normalised[row]]}) for row in rows],
        left_out=left_out,
    )
    # At 0 % the whole query stands in the index; beyond, how much does is what the curve shows.
    return replace(task, shares_words=percent > 0)


def _shuffled(name: str, count: int) -> list[int]:
    """The order in which the words of one document are dropped, from its id alone."""
    places = list(range(count))
    Random(f"{SEED} {name}").shuffle(places)  # noqa: S311  (a seeded sample, no secret)
    return places


def _stop_words_first(words: list[list[str]], at_random: list[list[int]]) -> list[list[int]]:
    return [
        sorted(places, key=lambda place: said[place].strip(".,;:()").lower() not in STOP_WORDS)
        for said, places in zip(words, at_random, strict=True)
    ]


def _kept(words: list[str], places: list[int], percent: int) -> str:
    """The caption without the dropped words, at least one of which is kept."""
    if not percent or not words:
        return " ".join(words)
    dropped = set(places[: min(len(words) * percent // 100, len(words) - 1)])
    return " ".join(word for place, word in enumerate(words) if place not in dropped)
