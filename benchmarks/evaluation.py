"""How long three profiles take over as many queries as documents, after encoding.

    python -m benchmarks.evaluation [--captions CORPUS] [--documents 8179]

Captions of a corpus where one is named, else made up; vectors are random but structured (a
low-rank part plus noise), so only speed can be read from this, not quality.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from eval.collection.pool import Pool, load_pool
from eval.leakage.leakage import find_leakage
from eval.measure.metrics import DEFAULT_METRICS
from eval.measure.results import judge
from eval.measure.slices import slices
from eval.protocols import build_tasks
from eval.protocols.tasks import topic_clusters
from eval.report.evaluation import Evaluation
from eval.report.provenance import provenance
from eval.report.report import write_report
from eval.search.answer import to_run
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Document, Query, VectorField

PROFILES = ("lexical", "vector", "hybrid")
DIMENSION = 512
RANK = 24


@dataclass(frozen=True)
class MadeUp:
    """Captions of words whose frequency falls as in texts (Zipf)."""

    count: int
    format: str = "made-up"
    location: str = "made-up"
    recognised: str = ""

    def __iter__(self) -> Iterator[Record]:
        rng = np.random.default_rng(0)
        words = np.array([f"word{n}" for n in range(8_000)])
        frequency = 1 / np.arange(1, len(words) + 1)
        for n in range(self.count):
            drawn = rng.choice(words, size=rng.integers(5, 40), p=frequency / frequency.sum())
            yield Record(f"d{n:06d}", " ".join(drawn), split="test")


def main() -> None:
    """Print seconds by step."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=Path)
    options.add_argument("--documents", type=int, default=8_179)
    asked = options.parse_args()
    with TemporaryDirectory() as folder:
        corpus = (
            Corpus.open(asked.captions)
            if asked.captions
            else write_corpus(MadeUp(asked.documents), Path(folder) / "corpus")
        )
        _measure(corpus, Path(folder) / "report")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak memory':<12}{peak:6.0f} MiB")


def _measure(corpus: Corpus, out: Path) -> None:
    ids = corpus.table(["id"])["id"].to_pylist()
    pool = load_pool(corpus, ids, ids, scope="all")
    rng = np.random.default_rng(0)
    vectors = _vectors(len(pool), rng)
    engine = _engine(pool, vectors)
    (task, *_), _ = build_tasks(pool, ["caption"])
    noisy = vectors + 0.03 * rng.standard_normal(vectors.shape).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    engine.search_many([Query("warm up", noisy[0], profile) for profile in PROFILES])

    started, computed = time.perf_counter(), time.process_time()
    runs = {}
    for profile in PROFILES:
        with _timed(profile):
            queries = [
                Query(
                    text="" if profile == "vector" else topic.text,
                    vector=None if profile == "lexical" else noisy[topic.row or 0],
                    profile=profile,
                    k=100,
                    with_documents=False,
                )
                for topic in task.topics
            ]
            runs[profile] = to_run(engine.search_many(queries), task)
    with _timed("leakage"):
        leakage = find_leakage(task, pool.captions)
    with _timed("statistics"):
        result = judge(
            task,
            runs,
            DEFAULT_METRICS,
            leakage=leakage,
            clusters=topic_clusters(task.topics, pool),
        )
    with _timed("kinds"):
        kinds = list(slices(result, pool))
    with _timed("report"):
        origin = provenance(engine, None, corpus, pool, "", 0)
        write_report(Evaluation(corpus, pool, [result], [], [], origin, slices=kinds), out)
    print(f"{'in all':<12}{time.perf_counter() - started:6.2f} s for {len(task.topics):,} queries")
    print(f"{'CPU':<12}{time.process_time() - computed:6.2f} s on all cores together")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    print(f"{what:<12}{time.perf_counter() - begun:6.2f} s")


def _engine(pool: Pool, vectors: np.ndarray) -> EmbeddedEngine:
    field = VectorField("embedding_00000000", DIMENSION, "0" * 64)
    rows = zip(pool.ids, pool.captions, vectors, strict=True)
    documents = (Document(name, caption, {field.name: row}) for name, caption, row in rows)
    return EmbeddedEngine.in_memory(documents, [field])


def _vectors(count: int, rng: np.random.Generator) -> np.ndarray:
    basis = rng.standard_normal((RANK, DIMENSION))
    drawn = rng.standard_normal((count, RANK)) @ basis / np.sqrt(RANK)
    drawn += 0.25 * rng.standard_normal((count, DIMENSION))
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.asarray(unit, dtype=np.float32)


if __name__ == "__main__":
    main()
