"""A task of a protocol: queries, relevance judgements, excluded documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.collection.clusters import Clusters
from eval.collection.pool import Pool
from eval.collection.runs import Qrels
from ingest.corpus.duplicates import normal_caption

__all__ = [
    "GRADED",
    "KNOWN_ITEM",
    "Builder",
    "Skipped",
    "Task",
    "Topic",
    "left_out_notes",
    "make_task",
    "topic_clusters",
]

# What protocols are judged by: one right document, or many of them in grades.
KNOWN_ITEM = "RR@10"
GRADED = "nDCG@10"

Asks = Literal["text", "image"]
Vectors = Literal["images", "captions", "frames"]


@dataclass(frozen=True)
class Topic:
    """One query.

    row: the document it was made of, None for a user's own topic. text: "" if an image
    asks. excluded: documents taken out of the results; hidden: documents whose bm25 and
    has_caption read as 0. tie: what else it shares with topics of one cluster, such as a concept.
    Documents are rows of the pool.
    """

    id: str
    text: str
    row: int | None = None
    excluded: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    tie: str = ""


@dataclass(frozen=True)
class Task:
    """One protocol on one pool.

    texts: what is indexed instead of the captions, one a document; None for the captions.
    vectors: whether documents are found by their image's vector or by their caption's, or the
    frames of studies are found, each by its own. owners: then the study's row of each frame.
    asks: whether queries are texts or images. no_lexical: why lexical ranking does not apply,
    "" if it does. shares_words: whether words of the query in the index are what it measures,
    and so no leakage. metric: what it is judged by. notes: counts of what was left out, for the
    report.
    """

    protocol: str
    description: str
    topics: tuple[Topic, ...]
    qrels: Qrels
    texts: tuple[str, ...] | None = None
    vectors: Vectors = "images"
    asks: Asks = "text"
    no_lexical: str = ""
    shares_words: bool = False
    metric: str = KNOWN_ITEM
    notes: tuple[str, ...] = ()
    owners: NDArray[np.int64] | None = None

    def take(self, rows: NDArray[np.intp]) -> Task:
        """The same with these topics alone."""
        topics = tuple(self.topics[row] for row in rows)
        return replace(self, topics=topics, qrels=self.qrels.take(rows))

    @property
    def searched(self) -> NDArray[np.int64]:
        """How many documents each query could return, int [queries]."""
        excluded = np.array([len(topic.excluded) for topic in self.topics], dtype=np.int64)
        return len(self.qrels.documents) - excluded


@dataclass(frozen=True)
class Skipped:
    """A protocol that the data cannot support."""

    protocol: str
    reason: str


Builder = Callable[[Pool], list[Task | Skipped]]


def make_task(
    pool: Pool,
    protocol: str,
    description: str,
    topics: Sequence[Topic],
    relevant: Sequence[Sequence[int]],
    *,
    texts: tuple[str, ...] | None = None,
    vectors: Vectors = "images",
    asks: Asks = "text",
    no_lexical: str = "",
    left_out: dict[str, int] | None = None,
) -> Task:
    """A task with binary judgements; `left_out` maps why queries were left out to how many."""
    return Task(
        protocol=protocol,
        description=description,
        topics=tuple(topics),
        qrels=Qrels.from_columns(tuple(topic.id for topic in topics), pool.ids, relevant),
        texts=texts,
        vectors=vectors,
        asks=asks,
        no_lexical=no_lexical,
        notes=left_out_notes(left_out or {}),
    )


def left_out_notes(left_out: dict[str, int]) -> tuple[str, ...]:
    """One sentence for each reason that left queries out."""
    return tuple(
        f"{count} {'query' if count == 1 else 'queries'} left out: {reason}."
        for reason, count in left_out.items()
        if count
    )


def topic_clusters(topics: Sequence[Topic], pool: Pool) -> Clusters:
    """Topics tied by patient, by case or article, by equal caption or by equal text."""
    return Clusters.connect([_keys(topic, pool) for topic in topics])


def _keys(topic: Topic, pool: Pool) -> list[str]:
    keys = [topic.tie] if topic.tie else []
    if topic.row is not None:
        keys += pool.keys(topic.row)
    text = normal_caption(topic.text)
    return [*keys, f"text {text!r}"] if text else keys
