"""Finds query text in the index: a figure made of such queries says little.

A query is leaked where its text stands in the indexed text of a document that counts as
relevant to it; text in other documents only misleads the ranking, and is counted apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.pool import normalise
from eval.tasks import Task

__all__ = ["LEAKY_FROM", "Leakage", "find_leakage"]

Kind = Literal["", "exact", "normalised", "near-duplicate"]

# A task is labelled leaky from this share of leaked queries on.
LEAKY_FROM = 0.01


@dataclass(frozen=True)
class Leakage:
    """What was found for one task.

    kinds: one of "", exact, normalised, near-duplicate a query: the closest way in which its
    text stands in a relevant document. elsewhere: how many queries' text stands in a document
    that is not relevant.
    """

    kinds: tuple[Kind, ...]
    elsewhere: int = 0

    @property
    def clean(self) -> NDArray[np.intp]:
        """Rows of the queries that are not leaked."""
        return np.flatnonzero([not kind for kind in self.kinds])

    @property
    def leaked(self) -> int:
        """How many queries are leaked."""
        return len(self.kinds) - len(self.clean)

    @property
    def leaky(self) -> bool:
        """Whether the task's figures need the label."""
        return bool(self.kinds) and self.leaked / len(self.kinds) >= LEAKY_FROM

    def counts(self) -> dict[str, int]:
        """How many queries are leaked in each way."""
        return {kind: self.kinds.count(kind) for kind in ("exact", "normalised", "near-duplicate")}


def find_leakage(task: Task, captions: Sequence[str]) -> Leakage:
    """Compare each query of the task with the texts that the task indexes.

    Excluded and hidden documents are not looked at, and neither are captions that are indexed
    by their vectors only. An image as a query leaks no text.
    """
    if task.asks == "image":
        return Leakage(tuple("" for _ in task.topics))
    texts = captions if task.texts is None else task.texts
    exact, normalised = _rows_by(texts, str.strip), _rows_by(texts, normalise)
    matrix = task.qrels.grades.tocsr()
    kinds: list[Kind] = []
    elsewhere = 0
    for row, topic in enumerate(task.topics):
        relevant = set(matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].tolist())
        out_of_sight = {*topic.excluded, *topic.hidden}
        same = set(exact.get(topic.text.strip(), ())) - out_of_sight
        alike = set(normalised.get(normalise(topic.text), ())) - out_of_sight
        kinds.append("exact" if same & relevant else "normalised" if alike & relevant else "")
        elsewhere += bool(alike - relevant)
    return Leakage(tuple(kinds), elsewhere)


def _rows_by(texts: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        rows[key(text)].append(row)
    rows.pop("", None)
    return rows
