"""Measure the embedded engine beside what else one would take, in one run, one thread each.

    python benchmarks/engine.py --sizes 16000,100000 --against bm25s+hnswlib,tantivy+usearch

For each size: build time, index size, memory, p50 and p95 of a lexical, a vector and a hybrid
query, recall@10 of the vectors, time to open, time until a new image is found, and how much more
`search_many` answers. CPU is what all threads of the process spent, which a busy machine
changes less than the clock. The rivals: pip install bm25s hnswlib tantivy usearch lancedb.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - threads are counted when it is imported
from made_up import DIMENSION, Asked, Corpus, make_corpus, make_queries  # noqa: E402
from rivals import RIVALS, Rival  # noqa: E402

from ranking.embedded import EmbeddedEngine  # noqa: E402
from ranking.types import Document, Query, VectorField  # noqa: E402

K = 10
RECALL = 0.99
FIELD = VectorField("embedding", DIMENSION)
Row = dict[str, Any]


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="16000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--against", default=",".join(RIVALS))
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    rows: list[Row] = []
    for size in map(int, options.sizes.split(",")):
        corpus = make_corpus(size)
        queries = make_queries(corpus, options.queries)
        nearest = true_nearest(corpus, queries)
        rows += measure_ours(corpus, queries, nearest)
        show(rows[-1:])
        for name in filter(None, options.against.split(",")):
            rows.append(measure_rival(name, corpus, queries, nearest))
            show(rows[-1:])
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def true_nearest(corpus: Corpus, queries: Sequence[Asked]) -> list[set[int]]:
    """The K documents of largest dot product, by brute force."""
    found = []
    for asked in queries:
        products = corpus.vectors @ asked.vector
        found.append(set(np.argpartition(-products, K)[:K].tolist()))
    return found


def documents(corpus: Corpus) -> Iterable[Document]:
    """The corpus as documents whose ids are their numbers."""
    for number, (caption, vector) in enumerate(zip(corpus.captions, corpus.vectors, strict=True)):
        yield Document(f"{number:08}", caption, {"embedding": vector})


def measure_ours(
    corpus: Corpus, queries: Sequence[Asked], nearest: Sequence[set[int]]
) -> list[Row]:
    """Measure the embedded engine, on disk."""
    folder = Path(tempfile.mkdtemp())
    try:
        start = time.perf_counter()
        EmbeddedEngine.build(folder / "index", documents(corpus), [FIELD])
        built = time.perf_counter() - start
        start = time.perf_counter()
        engine = EmbeddedEngine.open(folder / "index")
        opened = time.perf_counter() - start
        row: Row = {"engine": "rocosearch", "documents": len(corpus.captions), "build_s": built}
        row["open_ms"] = 1000 * opened
        row["size_mb"] = size_mb(folder)

        def ask(profile: str) -> Callable[[Asked], Sequence[int]]:
            return lambda asked: [int(i) for i in engine.search(query(asked, profile)).ids]

        row |= timed("lexical", ask("lexical"), queries)
        row |= timed("vector", ask("vector"), queries)
        row |= timed("hybrid", ask("hybrid"), queries)
        row |= timed("rrf", ask("hybrid_rrf"), queries)
        row["recall@10"] = recall(ask("vector"), queries, nearest)
        exact = EmbeddedEngine.open(folder / "index", exact=True)
        row["hybrid_recall@10"] = float(
            np.mean(
                [
                    len({*engine.search(q).ids} & {*exact.search(q).ids}) / K
                    for q in (query(asked, "hybrid") for asked in queries)
                ]
            )
        )
        row["many_speedup"] = speedup(engine, [query(asked, "hybrid") for asked in queries])
        row["memory_mb"] = memory_mb()
        start = time.perf_counter()
        engine.feed([Document("new", "zebrafish", {"embedding": corpus.vectors[0]})])
        assert engine.search(Query("zebrafish", profile="lexical")).ids == ("new",)
        row["new_image_ms"] = 1000 * (time.perf_counter() - start)
        return [row]
    finally:
        shutil.rmtree(folder)


def query(asked: Asked, profile: str) -> Query:
    """One of our queries; a text search sends no vector, a vector search no text."""
    return Query(
        "" if profile == "vector" else asked.text,
        None if profile == "lexical" else asked.vector,
        profile,
        k=K,
        with_documents=False,
    )


def speedup(engine: EmbeddedEngine, queries: Sequence[Query]) -> float:
    """How many times more queries a second `search_many` answers than `search`."""
    start = time.perf_counter()
    for each in queries:
        engine.search(each)
    single = time.perf_counter() - start
    start = time.perf_counter()
    engine.search_many([*queries, *queries, *queries])
    return 3 * single / (time.perf_counter() - start)


def measure_rival(
    name: str, corpus: Corpus, queries: Sequence[Asked], nearest: Sequence[set[int]]
) -> Row:
    """Measure a rival at the least effort that reaches the recall."""
    before = memory_mb()
    start = time.perf_counter()
    rival = RIVALS[name](corpus)
    row: Row = {"engine": name, "documents": len(corpus.captions)}
    row["build_s"] = time.perf_counter() - start
    row["memory_mb"] = memory_mb() - before
    row["recall@10"] = settle(rival, queries, nearest)
    row["effort"] = rival.effort
    row |= timed("lexical", lambda asked: rival.lexical(asked.text, K), queries)
    row |= timed("vector", lambda asked: rival.vector(asked.vector, K), queries)
    row |= timed("rrf", lambda asked: rival.hybrid(asked, K), queries)
    return row


def settle(rival: Rival, queries: Sequence[Asked], nearest: Sequence[set[int]]) -> float:
    """Raise the effort until recall@10 suffices; return the recall."""
    found = 0.0
    for effort in rival.efforts:
        rival.effort = effort
        found = recall(lambda asked: rival.vector(asked.vector, K), queries, nearest)
        if found >= RECALL:
            break
    return found


def recall(
    search: Callable[[Asked], Sequence[int]],
    queries: Sequence[Asked],
    nearest: Sequence[set[int]],
) -> float:
    """Mean share of the true nearest among the hits."""
    return float(
        np.mean([len({*search(q)} & true) / K for q, true in zip(queries, nearest, strict=True)])
    )


def timed(name: str, search: Callable[[Asked], object], queries: Sequence[Asked]) -> Row:
    """p50 and p95 by the clock, and p50 of CPU, in milliseconds, after a warm-up."""
    for asked in queries[:20]:
        search(asked)
    clock, cpu = [], []
    for asked in queries:
        start, spent = time.perf_counter(), time.process_time()
        search(asked)
        cpu.append(time.process_time() - spent)
        clock.append(time.perf_counter() - start)
    return {
        f"{name}_p50": 1000 * float(np.percentile(clock, 50)),
        f"{name}_p95": 1000 * float(np.percentile(clock, 95)),
        f"{name}_cpu": 1000 * float(np.percentile(cpu, 50)),
    }


def size_mb(folder: Path) -> float:
    """Mebibytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def memory_mb() -> float:
    """Largest resident memory of the process so far, in MiB; maps of files count when touched."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


COLUMNS = (
    "engine",
    "documents",
    "build_s",
    "size_mb",
    "lexical_p50",
    "vector_p50",
    "hybrid_p50",
    "rrf_p50",
    "lexical_cpu",
    "vector_cpu",
    "hybrid_cpu",
    "rrf_cpu",
    "recall@10",
    "open_ms",
    "new_image_ms",
    "many_speedup",
)


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    cells = [[cell(row.get(column)) for column in COLUMNS] for row in rows]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """One cell: three digits are enough."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def show(rows: Sequence[Row]) -> None:
    """Say at once what was measured, on standard error."""
    print(json.dumps(rows), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
