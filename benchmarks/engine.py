"""Measure the embedded engine beside what else one would take, in one run, one thread each.

    python benchmarks/engine.py --sizes 16000,100000 --against bm25s+hnswlib,tantivy+usearch

For each size: CPU seconds to build, index size, memory, p50 and p95 by the clock of a lexical, a
vector and a hybrid query, recall@10 of the vectors, time to open, time until a new image is found,
how much more `search_many` answers on all cores, a filtered query, an index in six segments, and
how fast codes are scanned beside the memory. `--keep` keeps corpora and indexes, so that a second
run only measures. Engines take turns, some queries each.

The rivals: pip install bm25s hnswlib tantivy usearch lancedb.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - threads are counted when it is imported
from bandwidth import scan_rates  # noqa: E402
from made_up import DIMENSION, Asked, Corpus, kept_corpus, make_queries  # noqa: E402
from memory import OURS, memory_of  # noqa: E402
from rivals import RIVALS, Rival, open_rival  # noqa: E402

from ranking.engine.engine import EmbeddedEngine  # noqa: E402
from ranking.types import Document, Filter, Query, VectorField  # noqa: E402

K = 10
RECALL = 0.99
FIELD = VectorField("embedding", DIMENSION)
Row = dict[str, Any]
Search = Callable[[Asked], Sequence[int]]
Searches = dict[str, Search]

WARM_UP = 20
TURNS = 5


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="16000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--against", default=",".join(RIVALS), help="rivals, or nothing")
    parser.add_argument("--keep", type=Path, help="keep corpora and indexes here")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        rows = measure(options, options.keep or Path(passing))
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, keep: Path) -> list[Row]:
    """One row for each size and engine."""
    rows: list[Row] = []
    for size in map(int, options.sizes.split(",")):
        folder = keep / str(size)
        corpus = kept_corpus(size, folder / "corpus")
        queries = make_queries(corpus, options.queries)
        nearest = true_nearest(corpus, queries)
        own, searches = open_ours(corpus, queries, nearest, folder / OURS)
        measured = [(own, searches)] + [
            open_and_settle(name, corpus, queries, nearest, folder / name)
            for name in filter(None, options.against.split(","))
        ]
        time_in_turns(measured, queries)
        own |= measure_changes(folder / OURS, corpus, queries)
        rows += [row for row, _ in measured]
        show(rows[-len(measured) :])
    return rows


def time_in_turns(measured: Sequence[tuple[Row, Searches]], queries: Sequence[Asked]) -> None:
    """Add p50 and p95 to each row, in milliseconds by the clock, after a warm-up.

    Engines take turns, some queries each: what else the machine does meets all of them.
    """
    clocks: dict[tuple[int, str], list[float]] = {}
    parts = [queries[:WARM_UP], *(queries[part::TURNS] for part in range(TURNS))]
    for turn, part in enumerate(parts):
        for place, (_, searches) in enumerate(measured):
            for name, search in searches.items():
                clock = clocks.setdefault((place, name), []) if turn else []
                clock += seconds_of(search, part)
    for (place, name), clock in clocks.items():
        measured[place][0].update(percentiles(name, clock))


def seconds_of(search: Search, queries: Sequence[Asked]) -> list[float]:
    """How long each query took."""
    clock = []
    for asked in queries:
        start = time.perf_counter()
        search(asked)
        clock.append(time.perf_counter() - start)
    return clock


def percentiles(name: str, clock: Sequence[float]) -> Row:
    """p50 and p95, in milliseconds."""
    return {f"{name}_p{p}": 1000 * float(np.percentile(clock, p)) for p in (50, 95)}


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
        modality = ("ct", "mr", "us")[number % 3]
        yield Document(f"{number:08}", caption, {"embedding": vector}, modality=modality)


def open_ours(
    corpus: Corpus, queries: Sequence[Asked], nearest: Sequence[set[int]], folder: Path
) -> tuple[Row, Searches]:
    """Build the embedded engine on disk and open it; measure all but times."""
    built = folder / "built.json"
    if not built.exists():
        start = time.process_time()
        EmbeddedEngine.build(folder / "index", documents(corpus), [FIELD])
        built.write_text(json.dumps({"cpu_s": time.process_time() - start}), encoding="utf-8")
    start = time.perf_counter()
    engine = EmbeddedEngine.open(folder / "index")
    row: Row = {"engine": OURS, "documents": len(corpus.captions)}
    row["open_ms"] = 1000 * (time.perf_counter() - start)
    row["build_s"] = json.loads(built.read_text(encoding="utf-8"))["cpu_s"]
    row["size_mb"] = size_mb(folder / "index")
    searches = {
        name: ask(engine, profile, filters)
        for name, profile, filters in (
            ("lexical", "lexical", ()),
            ("vector", "vector", ()),
            ("hybrid", "hybrid", ()),
            ("rrf", "hybrid_rrf", ()),
            ("filtered", "hybrid", (Filter("modality", ("ct",)),)),
        )
    }
    row["recall@10"] = recall(searches["vector"], queries, nearest)
    row["hybrid_recall@10"] = hybrid_recall(engine, folder / "index", queries[:50])
    for profile in ("lexical", "vector", "hybrid"):
        row |= throughput(engine, profile, [query(asked, profile) for asked in queries])
    row |= scan_rates(engine)
    row |= memory_of(OURS, folder, queries)
    return row, searches


def ask(engine: EmbeddedEngine, profile: str, filters: tuple[Filter, ...] = ()) -> Search:
    """A search that answers with document numbers."""
    return lambda asked: [
        int(i) for i in engine.search(replace(query(asked, profile), filters=filters)).ids
    ]


def hybrid_recall(engine: EmbeddedEngine, index: Path, queries: Sequence[Asked]) -> float:
    """Share of hybrid hits that comparing every vector finds too."""
    exact = EmbeddedEngine.open(index, route="exact")
    asked = [query(each, "hybrid") for each in queries]
    found = [len({*engine.search(q).ids} & {*exact.search(q).ids}) / K for q in asked]
    return float(np.mean(found))


def measure_changes(folder: Path, corpus: Corpus, queries: Sequence[Asked]) -> Row:
    """How soon a new image is found, the second of its kind; and queries over six segments."""
    engine = EmbeddedEngine.open(folder / "index")
    seconds = []
    names = [f"new{number}" for number in range(5)]
    for name in names:
        start = time.perf_counter()
        engine.feed([Document(name, f"zebrafish {name}", {"embedding": corpus.vectors[0]})])
        assert engine.search(Query(name, profile="lexical", k=1)).ids == (name,)
        seconds.append(time.perf_counter() - start)
    search = ask(engine, "hybrid")
    seconds_of(search, queries[:WARM_UP])
    row = percentiles("segments", seconds_of(search, queries[:100]))
    engine.remove(names)
    return {"new_image_ms": 1000 * float(np.median(seconds)), **row}


def query(asked: Asked, profile: str) -> Query:
    """One of our queries; a text search sends no vector, a vector search no text."""
    return Query(
        "" if profile == "vector" else asked.text,
        None if profile == "lexical" else asked.vector,
        profile,
        k=K,
        with_documents=False,
    )


def throughput(engine: EmbeddedEngine, profile: str, queries: Sequence[Query]) -> Row:
    """Queries a second one by one and by `search_many`, the best of three; and their ratio."""
    many = [*queries] * 5
    engine.search_many(many)
    one_by_one, together = [], []
    for _ in range(3):
        start = time.perf_counter()
        for each in queries:
            engine.search(each)
        one_by_one.append(len(queries) / (time.perf_counter() - start))
        start = time.perf_counter()
        engine.search_many(many)
        together.append(len(many) / (time.perf_counter() - start))
    single, batch = max(one_by_one), max(together)
    return {
        f"{profile}_per_s": single,
        f"{profile}_many_per_s": batch,
        f"{profile}_many_times": batch / single,
    }


def open_and_settle(
    name: str,
    corpus: Corpus,
    queries: Sequence[Asked],
    nearest: Sequence[set[int]],
    folder: Path,
) -> tuple[Row, Searches]:
    """Open a rival at the least effort that reaches the recall; measure all but times."""
    row: Row = {"engine": name, "documents": len(corpus.captions)}
    rival, row["build_s"] = open_rival(name, corpus, folder)
    row["size_mb"] = size_mb(folder)
    row["recall@10"] = settle(rival, queries, nearest)
    row["effort"] = rival.effort
    row |= memory_of(name, folder, queries, rival.effort)
    return row, {
        "lexical": lambda asked: rival.lexical(asked.text, K),
        "vector": lambda asked: rival.vector(asked.vector, K),
        "rrf": lambda asked: rival.hybrid(asked, K),
    }


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
    search: Search,
    queries: Sequence[Asked],
    nearest: Sequence[set[int]],
) -> float:
    """Mean share of the true nearest among the hits."""
    return float(
        np.mean([len({*search(q)} & true) / K for q, true in zip(queries, nearest, strict=True)])
    )


def size_mb(folder: Path) -> float:
    """Mebibytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


COLUMNS = (
    "engine",
    "documents",
    "build_s",
    "size_mb",
    "lexical_p50",
    "lexical_p95",
    "vector_p50",
    "vector_p95",
    "hybrid_p50",
    "hybrid_p95",
    "rrf_p50",
    "rrf_p95",
    "filtered_p50",
    "segments_p50",
    "recall@10",
    "effort",
    "own_mb",
    "mapped_mb",
    "open_ms",
    "new_image_ms",
    "hybrid_many_per_s",
    "lexical_many_times",
    "vector_many_times",
    "hybrid_many_times",
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
