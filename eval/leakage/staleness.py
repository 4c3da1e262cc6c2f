"""Check that an index matches the current corpus.

Queries and judgements are made of the corpus and answers of the index: where the two differ,
every figure is of neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.collection.runs import EvaluationError
from eval.search.answer import PoolSearcher
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import second_half
from ingest.vectors.embed import embedding_parts, read_embeddings, read_part
from ranking.types import Document, VectorField

__all__ = ["refuse_stale"]

SAME = 0.99  # cosine; embedded again, or stored in fewer bits, a vector moves by far less


def refuse_stale(searcher: PoolSearcher, corpus: Corpus) -> list[str]:
    """Compare captions and images of the pool as the engine holds them with the corpus.

    An image is compared by its vector, where the corpus keeps the encoder's. Returns a note where
    only a sample was compared. Raises EvaluationError if anything differs.
    """
    pool, held = searcher.pool, searcher.held
    images = _Images.of(corpus, searcher.field)
    expected = [pool.captions[row] for row, _ in held]
    halves = [second_half(caption) for caption in expected]
    if halves == [document.caption for _, document in held]:  # fed with --view split-caption
        expected = halves
    differing = []
    for (_, document), caption in zip(held, expected, strict=True):
        if (document.caption or "").strip() != caption:
            differing.append((document.id, "caption"))
        elif images is not None and images.replaced(document):
            differing.append((document.id, "image"))
    if differing:
        first, part = differing[0]
        raise EvaluationError(
            f"{len(differing):,} of {len(held):,} compared documents have another caption or "
            f"image in the index than in the corpus (first: the {part} of {first!r}), so the "
            "corpus has changed. Index it again (`rocosearch feed` for a server), then evaluate."
        )
    if len(held) == len(pool):
        return []
    note = (
        f"{len(held):,} of the {len(pool):,} documents searched were compared with the corpus "
        "and are the same in the index; the others were not compared."
    )
    return [note]


@dataclass(frozen=True)
class _Images:
    """The corpus's vectors of one encoder: of the images as they are, and ids embedded ever."""

    field: VectorField
    now: dict[str, NDArray[np.float32]]
    ever: frozenset[str]

    @classmethod
    def of(cls, corpus: Corpus, field: VectorField | None) -> _Images | None:
        """None if the corpus keeps no vectors to compare by."""
        parts = embedding_parts(corpus, field.fingerprint) if field else []
        if field is None or not parts:
            return None
        ids, vectors = read_embeddings(corpus, field.fingerprint)
        ever = {name for part in parts for name in read_part(part, ["id"])["id"]}
        return cls(field, dict(zip(ids, vectors, strict=True)), frozenset(map(str, ever)))

    def replaced(self, document: Document) -> bool:
        """Whether the document's vector is of another image than the corpus has."""
        vector = document.vectors.get(self.field.name)
        if vector is None or document.id not in self.ever:
            return False
        current = self.now.get(document.id)
        return current is None or float(_unit(vector) @ _unit(current)) < SAME


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit
