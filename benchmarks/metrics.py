"""Metrics of 8,000 queries x 1,000 hits: ours against ir-measures, same figures.

    python -m benchmarks.metrics

Both start from ranked lists of ids, as an engine gives them. ir-measures gets what it takes
(dictionaries, made before its clock starts); our clock includes turning ids into numbers.
Both run on one core; times are CPU seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time

import ir_measures
import numpy as np

from eval.collection.runs import Qrels, Run
from eval.measure.metrics import measure, parse_metrics

NAMES = ["RR@10", "Success@5", "nDCG@10", "R@100", "AP@1000"]


def main() -> None:
    """Print both times and the largest difference."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queries", type=int, default=8_000)
    options.add_argument("--depth", type=int, default=1_000)
    asked = options.parse_args()
    rng = np.random.default_rng(0)
    documents = tuple(f"document-{n:06d}" for n in range(20_000))
    queries = tuple(f"query-{n}" for n in range(asked.queries))
    judged = {
        query: {
            documents[d]: int(rng.integers(1, 4))
            for d in rng.integers(len(documents), size=rng.integers(1, 20))
        }
        for query in queries
    }
    qrels = Qrels.from_mapping(judged, documents)
    ids = []
    for _ in queries:
        start = int(rng.integers(len(documents)))
        order = np.arange(start, start + 7 * asked.depth, 7) % len(documents)
        ids.append([documents[d] for d in order])
    scores = [np.linspace(1, 0, asked.depth)] * len(queries)

    started = time.process_time()
    run = Run.from_lists(queries, documents, ids, scores)
    read = time.process_time() - started
    ours = measure(run, qrels, parse_metrics(NAMES))
    ours_seconds = time.process_time() - started

    parsed = [ir_measures.parse_measure(name) for name in NAMES]
    decreasing = scores[0].tolist()
    scored = {
        q: dict(zip(row, decreasing, strict=True)) for q, row in zip(queries, ids, strict=True)
    }
    started = time.process_time()
    theirs = list(ir_measures.iter_calc(parsed, judged, scored))
    theirs_seconds = time.process_time() - started

    place = {query: row for row, query in enumerate(queries)}
    gap = max(abs(ours[str(m.measure)][place[m.query_id]] - m.value) for m in theirs)
    print(f"{len(queries):,} queries x {asked.depth:,} hits, {', '.join(NAMES)}")
    print(f"ours         {ours_seconds:6.2f} CPU s, of it {read:.2f} s for reading ids")
    print(f"ir-measures  {theirs_seconds:6.2f} CPU s ({theirs_seconds / ours_seconds:.1f} x)")
    print(f"largest difference {gap:.1e}")


if __name__ == "__main__":
    main()
