"""Our engine as the benchmarks ask it: this version's, or an installed earlier one's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from made_up import Asked, Corpus
from numpy.typing import NDArray

from ranking.types import Document, Filter, Query, VectorField

try:
    from ranking.engine.engine import EmbeddedEngine
except ModuleNotFoundError:  # earlier versions have it here
    from ranking.embedded import EmbeddedEngine

__all__ = [
    "BEFORE",
    "OURS",
    "PROFILES",
    "EmbeddedEngine",
    "K",
    "Search",
    "build",
    "query",
    "recall",
    "searches",
    "seconds_of",
    "size_mb",
    "true_nearest",
]

OURS = "rocosearch"
BEFORE = "before"
K = 10
# What is asked: the profile, and the filter.
PROFILES: dict[str, tuple[str, tuple[Filter, ...]]] = {
    "lexical": ("lexical", ()),
    "vector": ("vector", ()),
    "hybrid": ("hybrid", ()),
    "rrf": ("hybrid_rrf", ()),
    "filtered": ("hybrid", (Filter("modality", ("ct",)),)),
}
Search = Callable[[Asked], Sequence[int]]


def build(corpus: Corpus, folder: Path) -> float:
    """Build an index, unless it is there; CPU seconds it took."""
    built = folder / "built.json"
    if not built.exists():
        field = VectorField("embedding", corpus.vectors.shape[1])
        start = time.process_time()
        EmbeddedEngine.build(folder / "index", documents(corpus), [field])
        built.write_text(json.dumps(time.process_time() - start), encoding="utf-8")
    return float(json.loads(built.read_text(encoding="utf-8")))


def documents(corpus: Corpus) -> Iterable[Document]:
    """The corpus as documents whose ids are their numbers."""
    for number, (caption, vector) in enumerate(zip(corpus.captions, corpus.vectors, strict=True)):
        modality = ("ct", "mr", "us")[number % 3]
        yield Document(f"{number:08}", caption, {"embedding": vector}, modality=modality)


def query(asked: Asked, profile: str, filters: tuple[Filter, ...] = ()) -> Query:
    """One of our queries; a text search sends no vector, a vector search no text."""
    return Query(
        "" if profile == "vector" else asked.text,
        None if profile == "lexical" else asked.vector,
        profile,
        k=K,
        filters=filters,
        with_documents=False,
    )


def searches(engine: EmbeddedEngine) -> dict[str, Search]:
    """For each of PROFILES a search that answers with document numbers."""

    def search(profile: str, filters: tuple[Filter, ...]) -> Search:
        return lambda asked: [int(i) for i in engine.search(query(asked, profile, filters)).ids]

    return {name: search(*asks) for name, asks in PROFILES.items()}


def seconds_of(search: Search, queries: Sequence[Asked]) -> list[float]:
    """How long each query took."""
    clock = []
    for asked in queries:
        start = time.perf_counter()
        search(asked)
        clock.append(time.perf_counter() - start)
    return clock


def true_nearest(vectors: NDArray[np.float32], queries: Sequence[Asked]) -> list[set[int]]:
    """The K documents of largest dot product, by brute force."""
    products = (vectors @ asked.vector for asked in queries)
    return [set(np.argpartition(-each, K)[:K].tolist()) for each in products]


def recall(search: Search, queries: Sequence[Asked], nearest: Sequence[set[int]]) -> float:
    """Mean share of the true nearest among the hits."""
    found = [len({*search(q)} & true) / K for q, true in zip(queries, nearest, strict=True)]
    return float(np.mean(found))


def size_mb(folder: Path) -> float:
    """Mebibytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
