"""Finds query text in the index, and searched images in training.

A query is leaked where its text stands in the indexed text of a document that counts as
relevant to it: lexical ranking is handed the answer. Text in other documents only misleads
the ranking, and is counted apart. Where a relevant image stands in training as well, the
encoder has seen the answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.runs import Qrels
from eval.tasks import Task
from eval.training_overlap import Overlap
from ingest.clean import normal_caption

__all__ = ["KINDS", "LEAKY_FROM", "Kind", "Leakage", "contained", "find_leakage"]

Kind = Literal["", "exact", "normalised", "near-duplicate", "in-training", "like-training"]
KINDS: tuple[Kind, ...] = (
    "exact",
    "normalised",
    "near-duplicate",
    "in-training",
    "like-training",
)

# A task is labelled leaky from this share of leaked queries on. An image that only looks like
# one of training is no proof (drawn or cropped images share perceptual hashes): such queries
# are counted and left out of the figure without leaked ones, but earn no label.
LEAKY_FROM = 0.01
# Broder (1997): containment of w-shingles. A query of fewer words has no shingle.
SHINGLE = 3
CONTAINED_FROM = 0.8


@dataclass(frozen=True)
class Leakage:
    """What was found for one task.

    kinds: the closest way in which each query is leaked, "" where it is not. elsewhere: how
    many queries' text stands in a document that is not relevant.
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
        proven = self.leaked - self.kinds.count("like-training")
        return bool(self.kinds) and proven / len(self.kinds) >= LEAKY_FROM

    def counts(self) -> dict[str, int]:
        """How many queries are leaked in each way."""
        found = Counter(self.kinds)
        return {kind: found[kind] for kind in KINDS}


def find_leakage(task: Task, captions: Sequence[str], overlap: Overlap | None = None) -> Leakage:
    """Compare each query of the task with the texts that the task indexes.

    captions: of the pool's documents. overlap: which of them stand in training. Excluded and
    hidden documents are not looked at, and neither are captions that are indexed by their
    vectors only.
    """
    matrix = task.qrels.grades.tocsr()
    # Judged documents that are not indexed are numbered behind the pool's.
    count = len(captions)
    relevant = [
        {
            d
            for d in matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].tolist()
            if d < count
        }
        for row in range(len(task.topics))
    ]
    texts = tuple(captions) if task.texts is None else task.texts
    near: list[set[int]] = []
    if task.asks == "text":
        near = contained([topic.text for topic in task.topics], texts)
    kinds: list[Kind] = []
    elsewhere = 0
    for row, topic in enumerate(task.topics):
        out_of_sight = {*topic.excluded, *topic.hidden}
        kind: Kind = ""
        if task.asks == "text":
            exact, alike = (found - out_of_sight for found in _indexed(texts).equal(topic.text))
            elsewhere += bool(alike - relevant[row])
            kind = _closest(exact, alike, near[row] - out_of_sight, relevant[row])
        kinds.append(kind or _trained(list(relevant[row]), overlap))
    return Leakage(tuple(kinds), elsewhere)


def contained(queries: Sequence[str], texts: Sequence[str]) -> list[set[int]]:
    """For each query the rows of the texts that contain it, but for a few words.

    That is, at least .8 of the query's distinct runs of three words.
    """
    index = _indexed(tuple(texts))
    asked = [_shingles(normal_caption(text)) for text in queries]
    known = [[index.place[name] for name in row if name in index.place] for row in asked]
    left = Qrels.from_columns(tuple(queries), tuple(index.place), known).grades
    shared = csr_array(left @ index.shingles.T).tocoo()
    sizes = np.array([len(row) for row in asked])
    kept = shared.data >= CONTAINED_FROM * sizes[shared.row]
    found: list[set[int]] = [set() for _ in queries]
    for row, column in zip(shared.row[kept].tolist(), shared.col[kept].tolist(), strict=True):
        found[row].add(column)
    return found


def _closest(exact: set[int], alike: set[int], near: set[int], relevant: set[int]) -> Kind:
    if exact & relevant:
        return "exact"
    if alike & relevant:
        return "normalised"
    return "near-duplicate" if near & relevant else ""


def _trained(relevant: list[int], overlap: Overlap | None) -> Kind:
    if overlap is None:
        return ""
    if overlap.same_image[relevant].any():
        return "in-training"
    return "like-training" if overlap.near_image[relevant].any() else ""


class _Texts:
    """Indexed texts, to look queries up in: whole, normalised, and by shingles."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        normalised = [normal_caption(text) for text in texts]
        self._exact = _rows_by(text.strip() for text in texts)
        self._normalised = _rows_by(normalised)
        shingles = [_shingles(text) for text in normalised]
        self.place = {name: number for number, name in enumerate(set().union(*shingles))}
        columns = [[self.place[name] for name in row] for row in shingles]
        self.shingles = Qrels.from_columns(texts, tuple(self.place), columns).grades

    def equal(self, text: str) -> tuple[set[int], set[int]]:
        """Rows whose text is the same, and those whose normalised text is."""
        return (
            self._exact.get(text.strip(), set()),
            self._normalised.get(normal_caption(text), set()),
        )


@lru_cache(maxsize=2)
def _indexed(texts: tuple[str, ...]) -> _Texts:
    return _Texts(texts)


def _shingles(normalised: str) -> set[str]:
    words = normalised.split()
    return {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def _rows_by(texts: Iterable[str]) -> dict[str, set[int]]:
    rows: defaultdict[str, set[int]] = defaultdict(set)
    for row, text in enumerate(texts):
        rows[text].add(row)
    rows.pop("", None)
    return rows
