"""Answer tasks with an engine: query vectors, queries, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.inference.dual_encoder import DualEncoder
from eval.collection.pool import Pool
from eval.collection.runs import EvaluationError, Run
from eval.protocols.tasks import Task
from eval.search.targets import Target
from ranking.names import encoder_names
from ranking.searcher import with_vectors
from ranking.types import OF_CAPTION, Document, Engine, Query, Result, VectorField

__all__ = ["PoolSearcher", "refuse_partial", "to_run", "vector_field"]

Vectors = NDArray[np.float32]

# Seconds a query may take on a busy server: a late answer counts as much as a quick one here.
TIMEOUT = 60.0


def vector_field(engine: Engine, encoder: DualEncoder | None) -> VectorField | None:
    """The field that holds this encoder's vectors; None without an encoder.

    Raises EvaluationError if the index was built with another encoder.
    """
    if encoder is None:
        return None
    name = encoder_names(encoder.manifest.fingerprint).embedding
    fields = {field.name: field for field in engine.info().vector_fields}
    if name not in fields:
        held = ", ".join(fields) or "none"
        raise EvaluationError(
            f"The index has no vectors of this encoder ({name}; it has {held}). Index the corpus "
            "with it first."
        )
    return fields[name]


class PoolSearcher:
    """An engine restricted to a pool, and to the view that a task asks for."""

    def __init__(self, target: Target, pool: Pool, encoder: DualEncoder | None) -> None:
        self.pool = pool
        self.encoder = encoder
        self._profiles = target.engine.profiles
        self.field = vector_field(target.engine, encoder)
        self._views = target.views(pool, self.encode, self.field)
        self._encoded: dict[str, Vectors] = {}

    @property
    def held(self) -> Sequence[tuple[int, Document]]:
        """Rows of the pool and their documents as the engine stores them: all, or a sample."""
        return self._views.held

    def supports(self, profile: str) -> bool:
        """Whether the index has what the profile finds candidates by."""
        return self.field is not None or "vector" not in self._profiles.resolve(profile).retrieve

    def applies(self, profile: str, task: Task) -> str:
        """Why the profile cannot answer the task, "" where it can."""
        found = self._profiles.resolve(profile)
        retrieve, by_caption = found.retrieve, found.text in {"", *OF_CAPTION}
        if not self.supports(profile):
            return "n/a: the index has no vectors"
        if "vector" not in retrieve and task.no_lexical and by_caption:
            return task.no_lexical
        if found.late and self.encoder is None:
            return "n/a: there is no encoder to make the query's tokens"
        if ("text" in retrieve or found.late) and task.asks == "image":
            return "n/a: the query has no text"
        return self._views.refuses(task)

    def search(
        self,
        task: Task,
        profile: str,
        depth: int,
        inputs: Mapping[str, float] | None = None,
    ) -> list[Result]:
        """Answer every topic of the task; raises EvaluationError if an answer is partial."""
        engine, filters = self._views.prepare(task)
        found = self._profiles.resolve(profile)
        retrieve = found.retrieve
        vectors = self.query_vectors(task) if "vector" in retrieve else None
        ids = self.pool.ids
        queries = [
            Query(
                text=topic.text if "text" in retrieve else "",
                vector=None if vectors is None else vectors[row],
                profile=profile,
                inputs=inputs or {},
                k=depth,
                target_hits=max(depth, 100),
                filters=filters,
                exclude_ids=frozenset(ids[other] for other in topic.excluded),
                hidden_captions=frozenset(ids[other] for other in topic.hidden),
                timeout=TIMEOUT,
                with_documents=False,
            )
            for row, topic in enumerate(task.topics)
        ]
        texts = [topic.text for topic in task.topics]
        results = engine.search_many(with_vectors(queries, texts, self.encoder, found))
        refuse_partial(results, task)
        return results

    def query_vectors(self, task: Task) -> Vectors:
        """One vector a topic, float32 [queries, dimension]."""
        if task.asks == "text":
            return self.encode([topic.text for topic in task.topics])
        return self.image_vectors([topic.row for topic in task.topics if topic.row is not None])

    def image_vectors(self, rows: Sequence[int]) -> Vectors:
        """Vectors of the pool's documents at `rows`, float32 [rows, dimension]."""
        if self.field is None:
            raise EvaluationError("Image queries are impossible: the index has no vectors.")
        return self._views.vectors(rows, self.field)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, float32 [texts, dimension]; each distinct text is encoded once."""
        if self.encoder is None:
            raise EvaluationError("Text cannot be encoded: the index has no encoder.")
        new = [text for text in dict.fromkeys(texts) if text not in self._encoded]
        if new:
            self._encoded.update(zip(new, self.encoder.encode_texts(new), strict=True))
        return np.stack([self._encoded[text] for text in texts])


def refuse_partial(results: Sequence[Result], task: Task) -> None:
    """Raise EvaluationError if any answer did not look at every document."""
    partial = [
        (topic.id, result)
        for topic, result in zip(task.topics, results, strict=True)
        if not result.coverage.full
    ]
    if partial:
        name, first = partial[0]
        why = ", ".join(first.coverage.degraded) or f"{first.coverage.percent:.1f} % covered"
        raise EvaluationError(
            f"{len(partial)} of {len(results)} answers of {task.protocol} are partial (query "
            f"{name!r}: {why}); figures from them would be wrong. Raise the time-out or repair "
            "the server, then evaluate again."
        )


def to_run(results: Sequence[Result], task: Task) -> Run:
    """Results, in the order of the task's topics, as a run."""
    return Run.from_lists(
        task.qrels.queries,
        task.qrels.documents,
        [result.ids for result in results],
        [result.scores for result in results],
    )
