"""Measure the embedded engine beside what else one would take, in one run, one thread each.

    python benchmarks/engine.py --sizes 16000,100000 --against bm25s+hnswlib,zvec
    python benchmarks/engine.py --sizes 16000 --vectors random --before OTHER/bin/python

For each size: CPU seconds to build, index size, p50 and p95 by the clock of a lexical, a vector and
a hybrid query, recall@10 of the vectors, time to open, a cold start, memory, time until a new image
is found, how much more `search_many` answers on all cores, a filtered query, an index in six
segments, what the codes of the vectors save, and how fast they are scanned beside the memory.
Engines take turns, some queries each. `--keep` keeps corpora and indexes, so that a second run only
measures. `--before` adds an earlier version of this engine, installed for another interpreter.
`--vectors` says what they are like (benchmarks/vector_kinds.py).

The rivals: pip install bm25s hnswlib numba tantivy usearch lancedb zvec qdrant-edge-py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("LANCE_LOG", "error")
# A cold start is measured of modules that were compiled before, as installed ones are.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np  # noqa: E402 - threads are counted when it is imported
from bandwidth import code_savings, scan_rates  # noqa: E402
from before import Earlier  # noqa: E402
from made_up import Asked, Corpus, kept_corpus, make_queries  # noqa: E402
from new_process import in_new_process  # noqa: E402
from ours import (  # noqa: E402
    BEFORE,
    OURS,
    PROFILES,
    EmbeddedEngine,
    K,
    Search,
    build,
    query,
    recall,
    searches,
    seconds_of,
    size_mb,
    true_nearest,
)
from rivals import RIVALS, Rival, open_rival  # noqa: E402
from vector_kinds import KINDS, makers  # noqa: E402

from ranking.types import Document, Query  # noqa: E402

RECALL = 0.99
Row = dict[str, Any]
# By what is asked: how long each of some queries took.
Timers = dict[str, Callable[[Sequence[Asked]], list[float]]]

WARM_UP = 20
TURNS = 5


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="16000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--against", default=",".join(RIVALS), help="rivals, or nothing")
    parser.add_argument("--vectors", choices=KINDS, default="low")
    parser.add_argument("--demo", type=Path, default=Path("build/demo"), help="for encoder")
    parser.add_argument("--before", metavar="PYTHON", help="interpreter of an earlier version")
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
    of_documents, of_queries = makers(options.vectors, options.demo)
    for size in map(int, options.sizes.split(",")):
        folder = keep / (f"{size}" if options.vectors == "low" else f"{size}-{options.vectors}")
        corpus = kept_corpus(size, folder / "corpus", of_documents)
        queries = make_queries(corpus, options.queries, vectors=of_queries)
        nearest = true_nearest(corpus.vectors, queries)
        measured = [open_ours(corpus, queries, nearest, folder / OURS)]
        if options.before:
            measured.append(open_before(options.before, queries, folder))
        measured += [
            open_and_settle(name, corpus, queries, nearest, folder / name)
            for name in filter(None, options.against.split(","))
        ]
        time_in_turns(measured, queries)
        measured[0][0].update(measure_changes(folder / OURS, corpus, queries))
        for row, _ in measured:
            row |= {"documents": size, "vectors": options.vectors}
            rows.append(row)
        show(rows[-len(measured) :])
    return rows


def time_in_turns(measured: Sequence[tuple[Row, Timers]], queries: Sequence[Asked]) -> None:
    """Add p50 and p95 to each row, in milliseconds by the clock, after a warm-up.

    Engines take turns, some queries each: what else the machine does meets all of them.
    """
    clocks: dict[tuple[int, str], list[float]] = {}
    parts = [queries[:WARM_UP], *(queries[part::TURNS] for part in range(TURNS))]
    for turn, part in enumerate(parts):
        for place, (_, timers) in enumerate(measured):
            for name, timer in timers.items():
                clock = clocks.setdefault((place, name), []) if turn else []
                clock += timer(part)
    for (place, name), clock in clocks.items():
        measured[place][0].update(percentiles(name, clock))


def timers_of(asks: dict[str, Search]) -> Timers:
    """Searches in this process, timed."""
    return {name: partial(seconds_of, search) for name, search in asks.items()}


def percentiles(name: str, clock: Sequence[float]) -> Row:
    """p50 and p95, in milliseconds."""
    return {f"{name}_p{p}": 1000 * float(np.percentile(clock, p)) for p in (50, 95)}


def open_ours(
    corpus: Corpus, queries: Sequence[Asked], nearest: Sequence[set[int]], folder: Path
) -> tuple[Row, Timers]:
    """Build the embedded engine on disk and open it; measure all but times."""
    row: Row = {"engine": OURS, "build_s": build(corpus, folder)}
    start = time.perf_counter()
    engine = EmbeddedEngine.open(folder / "index")
    row["open_ms"] = 1000 * (time.perf_counter() - start)
    row["size_mb"] = size_mb(folder / "index")
    asks = searches(engine)
    row["recall@10"] = recall(asks["vector"], queries, nearest)
    row["hybrid_recall@10"] = hybrid_recall(engine, folder / "index", queries[:50])
    for profile in ("lexical", "vector", "hybrid"):
        row |= throughput(engine, profile, [query(asked, profile) for asked in queries])
    row |= scan_rates(engine)
    row |= code_savings(engine, [asked.vector for asked in queries], K)
    row |= in_new_process(OURS, folder, queries)
    return row, timers_of(asks)


def open_before(python: str, queries: Sequence[Asked], folder: Path) -> tuple[Row, Timers]:
    """Let an earlier version build and open an index of its own; measure all but times."""
    earlier = Earlier(python, folder / BEFORE, folder / "corpus", queries)
    row = {"engine": BEFORE, **earlier.row}
    row |= in_new_process(BEFORE, folder / BEFORE, queries, python=python)
    return row, {name: partial(earlier.seconds_of, name) for name in PROFILES}


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
    search = searches(engine)["hybrid"]
    seconds_of(search, queries[:WARM_UP])
    row = percentiles("segments", seconds_of(search, queries[:100]))
    engine.remove(names)
    return {"new_image_ms": 1000 * float(np.median(seconds)), **row}


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
) -> tuple[Row, Timers]:
    """Open a rival at the least effort that reaches the recall; measure all but times."""
    row: Row = {"engine": name}
    rival, row["build_s"] = open_rival(name, corpus, folder)
    row["size_mb"] = size_mb(folder)
    row["recall@10"] = settle(rival, queries, nearest)
    row["effort"] = rival.effort
    row |= in_new_process(name, folder, queries, rival.effort)
    asks: dict[str, Search] = {
        "lexical": lambda asked: rival.lexical(asked.text, K),
        "vector": lambda asked: rival.vector(asked.vector, K),
        "rrf": lambda asked: rival.hybrid(asked, K),
        "rrf10": lambda asked: rival.hybrid(asked, K, depth=K),
    }
    return row, timers_of(asks)


def settle(rival: Rival, queries: Sequence[Asked], nearest: Sequence[set[int]]) -> float:
    """Raise the effort until recall@10 suffices; return the recall."""
    found = 0.0
    for effort in rival.efforts:
        rival.effort = effort
        found = recall(lambda asked: rival.vector(asked.vector, K), queries, nearest)
        if found >= RECALL:
            break
    return found


COLUMNS = (
    "engine",
    "documents",
    "vectors",
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
    "rrf10_p50",
    "filtered_p50",
    "segments_p50",
    "recall@10",
    "effort",
    "cold_s",
    "own_mb",
    "mapped_mb",
    "open_ms",
    "new_image_ms",
    "hybrid_many_per_s",
    "lexical_many_times",
    "vector_many_times",
    "hybrid_many_times",
    "code_components",
    "compared",
    "scan_ms",
    "without_codes_ms",
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
