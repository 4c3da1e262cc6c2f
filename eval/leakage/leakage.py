"""The leak checks: queries in the index, and in the encoder's training data.

A query is leaked where its text stands in the indexed text of a document that counts as
relevant to it: lexical ranking is handed the answer. Text in other documents only misleads
the ranking, and is counted apart. It is leaked as well where the encoder was trained on what is
asked for: the relevant image (or a verified copy), the text, or the case it is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eval.collection.phrases import Phrases, rare
from eval.leakage.indexed_texts import SHINGLE, SHORT, Numbered, Shingles
from eval.leakage.training_overlap import Overlap, captions_seen
from eval.protocols.tasks import Task, Topic
from ingest.corpus.duplicates import normal_caption

__all__ = ["KINDS", "PROVEN", "Kind", "Leakage", "find_leakage", "is_leaky"]

_Proven = Literal[
    "exact",
    "normalised",
    "near-duplicate",
    "in-training",
    "training-caption",
    "near-training-caption",
    "training-group",
]
Kind = Literal["", _Proven, "like-training"]
PROVEN: tuple[Kind, ...] = get_args(_Proven)
# An image that only looks like one of training is no proof: such queries are reported, not counted.
KINDS: tuple[Kind, ...] = (*PROVEN, "like-training")

# More leaked queries than this share make a figure leaky, whatever their effect.
LEAKY_FROM = 0.01

Numbers = NDArray[np.int64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Leakage:
    """What was found for one task.

    kinds: the closest way in which each query is leaked, "" if it is not. elsewhere: how
    many queries' text stands in a document that is not relevant.
    """

    kinds: tuple[Kind, ...]
    elsewhere: int = 0

    @property
    def clean(self) -> NDArray[np.intp]:
        """Rows of the queries that are not shown to be leaked."""
        return np.flatnonzero([kind not in PROVEN for kind in self.kinds])

    @property
    def leaked(self) -> int:
        """How many queries are leaked."""
        return len(self.kinds) - len(self.clean)

    def counts(self) -> dict[str, int]:
        """How many queries are leaked in each way."""
        found = Counter(self.kinds)
        return {kind: found[kind] for kind in KINDS}


def is_leaky(leaked: int, queries: int) -> bool:
    """Whether this number of leaked queries makes a figure leaky, whatever their effect."""
    return queries > 0 and leaked / queries > LEAKY_FROM


def find_leakage(task: Task, captions: Sequence[str], overlap: Overlap | None = None) -> Leakage:
    """Compare each query of the task with the texts that it indexes, and with training.

    captions: of the pool's documents. overlap: what of them was trained on. Excluded and
    hidden documents are not looked at, and neither are captions that are indexed by their
    vectors only, or not at all.
    """
    relevant = _relevant(task, len(captions))
    found: dict[Kind, Marks] = {}
    elsewhere = 0
    if task.asks == "text" and task.vectors != "frames":
        texts = tuple(captions) if task.texts is None else task.texts
        found, elsewhere = _compare_texts(task.topics, texts, relevant)
    if task.shares_words:
        found = {}
    if overlap is not None:
        found |= _compare_training(task, relevant, overlap)
    kinds: list[Kind] = [""] * len(task.topics)
    for kind in reversed(KINDS):  # the closest is written last, and stays
        for row in np.flatnonzero(found.get(kind, False)).tolist():
            kinds[row] = kind
    return Leakage(tuple(kinds), elsewhere)


def _compare_training(task: Task, relevant: _Pairs, overlap: Overlap) -> dict[Kind, Marks]:
    """Which topics ask for what the encoder was trained on, by kind."""
    found: dict[Kind, Marks] = {
        "in-training": relevant.touching(overlap.image),
        "training-group": relevant.touching(overlap.group),
        "like-training": relevant.touching(overlap.near_image),
    }
    texts = overlap.texts if task.asks == "text" else ()
    equal, near = captions_seen(texts, [normal_caption(topic.text) for topic in task.topics])
    if task.asks == "text" or task.vectors == "captions":
        equal = equal | relevant.touching(overlap.caption)
        near = near | relevant.touching(overlap.near_caption)
    return {**found, "training-caption": equal, "near-training-caption": near}


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a topic and a document of the pool, int [pairs] each; shape: how many of each."""

    topics: Numbers
    documents: Numbers
    shape: tuple[int, int]

    @property
    def _keys(self) -> Numbers:
        """One number a pair."""
        return self.topics * self.shape[1] + self.documents

    def take(self, marked: Marks) -> _Pairs:
        """Only the marked pairs."""
        return _Pairs(self.topics[marked], self.documents[marked], self.shape)

    def among(self, others: _Pairs) -> Marks:
        """Which pairs the others have too."""
        return np.isin(self._keys, others._keys)

    def counts(self) -> Numbers:
        """How many each topic has, int [topics]."""
        return np.bincount(self.topics, minlength=self.shape[0])

    def touching(self, marked: Marks) -> Marks:
        """Which topics have a pair with a marked document, bool [topics]."""
        return self.take(marked[self.documents]).counts() > 0


@dataclass(frozen=True)
class _Index:
    """Indexed texts as they are, normalised, by shingles and by phrases."""

    exact: Numbered
    normalised: Numbered
    shingles: Shingles
    phrases: Phrases


@lru_cache(maxsize=2)
def _indexed(texts: tuple[str, ...]) -> _Index:
    normalised = [normal_caption(text) for text in texts]
    exact = Numbered([text.strip() for text in texts])
    return _Index(exact, Numbered(normalised), Shingles(normalised), Phrases(normalised))


def _relevant(task: Task, count: int) -> _Pairs:
    judged = task.qrels.grades.tocoo()
    if task.owners is not None:
        return _Pairs(
            judged.row.astype(np.int64), task.owners[judged.col], (len(task.topics), count)
        )
    # Judged documents that are not indexed are numbered behind the pool's.
    kept = (judged.data > 0) & (judged.col < count)
    topics, documents = (part[kept].astype(np.int64) for part in (judged.row, judged.col))
    return _Pairs(topics, documents, (len(task.topics), count))


def _out_of_sight(topics: Sequence[Topic], shape: tuple[int, int]) -> _Pairs:
    gone = [sorted({*topic.excluded, *topic.hidden}) for topic in topics]
    owners = np.repeat(np.arange(len(topics)), [len(each) for each in gone])
    return _Pairs(owners, np.array([d for each in gone for d in each], np.int64), shape)


def _compare_texts(
    topics: Sequence[Topic], texts: tuple[str, ...], relevant: _Pairs
) -> tuple[dict[Kind, Marks], int]:
    """Which topics' text stands in a relevant document, by kind; how many in another one."""
    gone = _out_of_sight(topics, relevant.shape)
    relevant = relevant.take(~relevant.among(gone))
    index = _indexed(texts)
    normal = [normal_caption(topic.text) for topic in topics]
    exact = index.exact.asked([topic.text.strip() for topic in topics])
    alike = index.normalised.asked(normal)

    def equal(pairs: _Pairs, numbered: Numbered, asked: Numbers) -> _Pairs:
        return pairs.take(numbered.documents[pairs.documents] == asked[pairs.topics])

    right: dict[Kind, _Pairs] = {
        "exact": equal(relevant, index.exact, exact),
        "normalised": equal(relevant, index.normalised, alike),
        "near-duplicate": relevant.take(
            relevant.among(_Pairs(*index.shingles.containing(normal), relevant.shape))
            | relevant.among(_short(index.phrases, normal, relevant.shape))
        ),
    }
    known = right["normalised"].counts() + equal(gone, index.normalised, alike).counts()
    wrong = index.normalised.holders(alike) > known
    return {kind: pairs.counts() > 0 for kind, pairs in right.items()}, int(wrong.sum())


def _short(phrases: Phrases, normal: Sequence[str], shape: tuple[int, int]) -> _Pairs:
    """Short texts that stand word for word in few documents."""
    owners, documents = [], []
    for row, text in enumerate(normal):
        if text and text.count(" ") + 1 < SHINGLE - 1 + SHORT:
            holders = phrases.holders(text)
            if len(holders) <= rare(shape[1]):
                owners += [row] * len(holders)
                documents += holders
    return _Pairs(np.array(owners, np.int64), np.array(documents, np.int64), shape)
