"""The target of a task: an index of the pool, or a running server.

A view other than the whole embedded index is an index in memory over the pool's documents,
with the pool's statistics; vectors are taken over as they are. A server is asked as it stands:
the pool is kept to by a filter on the split, its BM25 statistics are those of all it holds,
and what would need other documents is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eval.collection.pool import Pool
from eval.protocols.tasks import Task
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import second_half, study_key
from ingest.vectors.embed import read_embeddings
from ranking.engine.engine import EmbeddedEngine
from ranking.names import CAPTION_VECTORS, role_of, vector_field_names
from ranking.profiles.shipped import ProfileSet
from ranking.types import Document, Engine, Filter, VectorField
from vespa_app.engine import VespaEngine

__all__ = ["EmbeddedTarget", "EmbeddedViews", "ServedTarget", "ServedViews", "Target", "Views"]

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]

SAMPLE = 50  # documents


class Target(Protocol):
    """What is evaluated: an index in this process, or a running server as it was fed."""

    @property
    def engine(self) -> Engine:
        """What answers."""

    @property
    def profiles(self) -> ProfileSet | None:
        """Its profiles as they were written, where they are at hand."""

    def with_vectors(self, corpus: Corpus, ids: Collection[str], field: VectorField) -> set[str]:
        """Ids of the documents that have a vector in this field."""

    def views(self, pool: Pool, encode: Encode, field: VectorField | None) -> Views:
        """Views over a pool."""


@dataclass(frozen=True)
class EmbeddedTarget:
    """An index in this process."""

    engine: EmbeddedEngine

    @property
    def profiles(self) -> ProfileSet:
        """The index's own."""
        return self.engine.profiles

    def with_vectors(self, corpus: Corpus, ids: Collection[str], field: VectorField) -> set[str]:
        """Ids of the documents that have a vector in this field, as the index holds them."""
        found = ((name, self.engine.get(name)) for name in ids)
        return {name for name, d in found if d is not None and field.name in d.vectors}

    def views(self, pool: Pool, encode: Encode, field: VectorField | None) -> EmbeddedViews:
        """Views in memory."""
        return EmbeddedViews(self.engine, pool, encode, field)


@dataclass(frozen=True)
class ServedTarget:
    """A running Vespa application."""

    engine: VespaEngine

    @property
    def profiles(self) -> None:
        """A server tells what its profiles need, not how they were written."""

    def with_vectors(self, corpus: Corpus, ids: Collection[str], field: VectorField) -> set[str]:
        """Ids that the corpus keeps a vector of: what was fed."""
        embedded = set(read_embeddings(corpus, field.fingerprint)[0])
        rows = corpus.rows(["id", "group_id", "group_kind"])
        studies = {study_key(row) for row in rows if row["id"] in embedded}
        return set(ids) & (embedded | studies)

    def views(self, pool: Pool, encode: Encode, field: VectorField | None) -> ServedViews:
        """The server as it is."""
        return ServedViews(self.engine, pool)


class Views(Protocol):
    """Engines over a pool, by task."""

    def refuses(self, task: Task) -> str:
        """Why this task cannot be answered, "" if it can."""

    def prepare(self, task: Task) -> tuple[Engine, tuple[Filter, ...]]:
        """The engine to ask, and the filters that keep it to the pool."""

    def vectors(self, rows: Sequence[int], field: VectorField) -> Vectors:
        """Stored vectors of the pool's documents, float32 [rows, dimension]."""

    @property
    def held(self) -> Sequence[tuple[int, Document]]:
        """Rows of the pool and their documents as they are stored: all, or a sample."""


class EmbeddedViews:
    """Indexes in memory, each made once."""

    def __init__(
        self, engine: EmbeddedEngine, pool: Pool, encode: Encode, field: VectorField | None
    ) -> None:
        self._engine, self._pool, self._encode, self._field = engine, pool, encode, field
        self._made: dict[tuple[object, str, bool], EmbeddedEngine] = {}

    @cached_property
    def documents(self) -> list[Document]:
        """The pool's documents as the index holds them."""
        found = [self._engine.get(identifier) for identifier in self._pool.ids]
        return [document for document in found if document is not None]

    @property
    def held(self) -> Sequence[tuple[int, Document]]:
        """All of the pool."""
        return list(enumerate(self.documents))

    def refuses(self, task: Task) -> str:
        """Nothing: every view can be made."""
        return ""

    def prepare(self, task: Task) -> tuple[Engine, tuple[Filter, ...]]:
        """The index itself where the task searches all of it, else one in memory."""
        whole = task.texts is None and task.vectors == "images" and not self._tells(task)
        if whole and len(self._pool) == self._engine.count():
            return self._engine, ()
        key = (task.texts, task.vectors, self._tells(task))
        if key not in self._made:
            info = self._engine.info()
            self._made[key] = made = EmbeddedEngine.in_memory(
                self._seen_by(task),
                info.vector_fields,
                self._engine.profiles,
                attributes=info.attributes,
            )
            made.encoder_folder = self._engine.encoder_folder
        return self._made[key], ()

    def vectors(self, rows: Sequence[int], field: VectorField) -> Vectors:
        """Stored vectors, float32 [rows, dimension]."""
        return np.stack([self.documents[row].vectors[field.name] for row in rows])

    def _tells(self, task: Task) -> bool:
        """Whether vectors of captions would tell of a text that the task hides, or cuts."""
        hides = task.texts is not None or any(topic.hidden for topic in task.topics)
        fields = self._engine.info().vector_fields
        return hides and any(role_of(field.name) == CAPTION_VECTORS for field in fields)

    def _seen_by(self, task: Task) -> list[Document]:
        documents = self.documents
        if self._tells(task):
            documents = [_without_caption_vectors(document) for document in documents]
        if task.texts is not None:
            pairs = zip(documents, task.texts, strict=True)
            documents = [replace(document, caption=text) for document, text in pairs]
        if task.vectors == "captions" and self._field is not None:
            vectors = self._encode(self._pool.captions)
            documents = [
                self._of_one(document, document.id, vector)
                for document, vector in zip(documents, vectors, strict=True)
            ]
        if task.vectors == "frames":
            documents = [
                self._of_one(replace(document, caption=""), label, vector)
                for document in documents
                for label, vector in document.labelled.get(self._frames, {}).items()
            ]
        return documents

    @property
    def _frames(self) -> str:
        """The field of the encoder's frames."""
        names = vector_field_names(self._field.name) if self._field else None
        return names.field("frames") if names else ""

    def _of_one(self, document: Document, name: str, vector: NDArray[np.float32]) -> Document:
        """The document found by this vector alone; one of a study has it as its only frame."""
        if self._field is None:
            return document
        frames = {self._frames: {name: vector}} if self._frames in document.labelled else {}
        return replace(document, id=name, vectors={self._field.name: vector}, labelled=frames)


def _without_caption_vectors(document: Document) -> Document:
    left = {n: v for n, v in document.vectors.items() if role_of(n) != CAPTION_VECTORS}
    return replace(document, vectors=left)


class ServedViews:
    """A running Vespa application, searched as it was fed."""

    def __init__(self, engine: VespaEngine, pool: Pool) -> None:
        self._engine, self._pool = engine, pool

    @cached_property
    def holds_halves(self) -> bool:
        """Whether the server was fed with `--view split-caption`; a sample of captions tells."""
        captions = self._pool.captions
        long = [
            (d, captions[row])
            for row, d in self.held
            if second_half(captions[row]) != captions[row]
        ]
        return bool(long) and all(d.caption == second_half(text) for d, text in long)

    @cached_property
    def held(self) -> Sequence[tuple[int, Document]]:
        """Documents spread over the pool, asked for one by one."""
        rows = np.unique(np.linspace(0, len(self._pool) - 1, SAMPLE).astype(int)).tolist()
        found = [(row, self._engine.get(self._pool.ids[row])) for row in rows]
        return [(row, document) for row, document in found if document is not None]

    def refuses(self, task: Task) -> str:
        """Tasks that need other documents than the server holds, or hide captions."""
        if task.vectors == "captions":
            return "the server has vectors of images, not of captions: evaluate the embedded index"
        if task.vectors == "frames":
            return "the server ranks studies, not frames: evaluate the embedded index"
        if any(topic.hidden for topic in task.topics):
            return "Vespa cannot hide captions from ranking: evaluate the embedded index"
        if (task.texts is not None) and not self.holds_halves:
            return "the server has whole captions: feed another one with `--view split-caption`"
        if task.texts is None and task.asks == "text" and self.holds_halves:
            return (
                "the server was fed with `--view split-caption`, so it has only halves of captions"
            )
        return ""

    def prepare(self, task: Task) -> tuple[Engine, tuple[Filter, ...]]:
        """The server, kept to the pool's split."""
        if self._pool.scope == "all" or self._pool.split == "all":
            return self._engine, ()
        return self._engine, (Filter("split", (self._pool.split,)),)

    def vectors(self, rows: Sequence[int], field: VectorField) -> Vectors:
        """Stored vectors, float32 [rows, dimension], fetched one by one."""
        found = [self._engine.get(self._pool.ids[row]) for row in rows]
        return np.stack([d.vectors[field.name] for d in found if d is not None])
