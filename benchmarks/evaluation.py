"""How long three profiles take over as many queries as documents, after encoding.

    python -m benchmarks.evaluation [--captions CORPUS] [--documents 8179]

Captions of a corpus where one is named, else made up; vectors are random but structured (a
low-rank part plus noise), so only speed can be read from this, not quality.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.leakage import find_leakage
from eval.metrics import DEFAULT_METRICS
from eval.pool import Pool
from eval.protocols import build_tasks
from eval.results import judge
from eval.searching import to_run
from ingest.corpus import Corpus
from ranking.embedded import EmbeddedEngine
from ranking.types import Document, Query, VectorField

PROFILES = ("lexical", "vector", "hybrid")
DIMENSION = 512
RANK = 24


def main() -> None:
    """Print seconds by step."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=Path)
    options.add_argument("--documents", type=int, default=8_179)
    asked = options.parse_args()
    rng = np.random.default_rng(0)
    captions = _captions(asked.captions, asked.documents, rng)
    vectors = _vectors(len(captions), rng)
    ids = tuple(f"d{n:06d}" for n in range(len(captions)))
    field = VectorField("embedding_00000000", DIMENSION, "0" * 64)
    engine = EmbeddedEngine.in_memory(
        (
            Document(name, caption, {field.name: vector})
            for name, caption, vector in zip(ids, captions, vectors, strict=True)
        ),
        [field],
    )
    (task, *_), _ = build_tasks(_pool(ids, captions), ["caption"])
    noisy = vectors + 0.03 * rng.standard_normal(vectors.shape).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    engine.search_many([Query("warm up", noisy[0], profile) for profile in PROFILES])

    started, computed = time.perf_counter(), time.process_time()
    runs = {}
    for profile in PROFILES:
        begun = time.perf_counter()
        queries = [
            Query(
                text=topic.text,
                vector=None if profile == "lexical" else noisy[topic.row or 0],
                profile=profile,
                k=100,
                with_documents=False,
            )
            for topic in task.topics
        ]
        if profile == "vector":
            queries = [replace(query, text="") for query in queries]
        runs[profile] = to_run(engine.search_many(queries), task)
        print(f"{profile:<12}{time.perf_counter() - begun:6.2f} s")
    begun = time.perf_counter()
    leakage = find_leakage(task, captions)
    print(f"{'leakage':<12}{time.perf_counter() - begun:6.2f} s")
    begun = time.perf_counter()
    judge(
        task,
        runs,
        DEFAULT_METRICS,
        leakage=leakage,
        groups=[""] * len(ids),
        inapplicable={},
        seed=0,
    )
    print(f"{'statistics':<12}{time.perf_counter() - begun:6.2f} s")
    print(f"{'in all':<12}{time.perf_counter() - started:6.2f} s for {len(task.topics):,} queries")
    print(f"{'CPU':<12}{time.process_time() - computed:6.2f} s on all cores together")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak memory':<12}{peak:6.0f} MiB")


def _captions(corpus: Path | None, count: int, rng: np.random.Generator) -> list[str]:
    if corpus is not None:
        return list(Corpus.open(corpus).table(["caption"])["caption"].to_pylist()[:count])
    words = np.array([f"word{n}" for n in range(8_000)])
    frequency = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(5, 40, size=count)
    drawn = rng.choice(words, size=lengths.sum(), p=frequency / frequency.sum())
    return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def _vectors(count: int, rng: np.random.Generator) -> np.ndarray:
    basis = rng.standard_normal((RANK, DIMENSION))
    drawn = rng.standard_normal((count, RANK)) @ basis / np.sqrt(RANK)
    drawn += 0.25 * rng.standard_normal((count, DIMENSION))
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.asarray(unit, dtype=np.float32)


def _pool(ids: tuple[str, ...], captions: list[str]) -> Pool:
    count = len(ids)
    nothing: tuple[tuple[str, ...], ...] = ((),) * count
    empty = ("",) * count
    marked = np.ones(count, bool)
    return Pool(ids, tuple(captions), nothing, nothing, empty, empty, empty, marked, marked)


if __name__ == "__main__":
    main()
