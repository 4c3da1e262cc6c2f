"""How many of the nearest the codes find, for queries that are less and less like the documents.

    python benchmarks/recall.py --size 100000

For each kind of query: how many documents are compared, recall@100, and recall@100 where a fixed
number of best codes would be compared. `--keep` is the folder of `benchmarks/engine.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from made_up import DIMENSION, kept_corpus, make_queries
from numpy.typing import NDArray

from ranking.engine.segment.codes import Sketch, short_sketch

NEAREST = 100
FIXED = 250
Floats = NDArray[np.float32]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=16_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="corpora are kept here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = (options.keep or Path(passing)) / str(options.size) / "corpus"
        corpus = kept_corpus(options.size, folder)
        vectors = np.asarray(corpus.vectors)
        own = np.stack([asked.vector for asked in make_queries(corpus, options.queries)])
    sketch = short_sketch(vectors, np.ones(len(vectors), np.bool_))
    print(f"{len(vectors):,} documents, {len(sketch.basis)} components")
    for name, queries in kinds(own).items():
        compared, recall, fixed = measure(sketch, vectors, queries)
        print(f"{name:24} compared {compared:6.0f}  recall {recall:.3f}  fixed {fixed:.3f}")


def kinds(own: Floats) -> dict[str, Floats]:
    """Queries like the documents, moved away from all of them in one direction, and random ones."""
    random = np.random.default_rng(5)
    away = unit(random.standard_normal((1, DIMENSION)))
    return {
        "like the documents": own,
        "53 degrees away": unit(0.6 * own + 0.8 * away),
        "73 degrees away": unit(0.3 * own + 0.95 * away),
        "random directions": unit(random.standard_normal(own.shape)),
    }


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Vectors of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def measure(sketch: Sketch, vectors: Floats, queries: Floats) -> tuple[float, float, float]:
    """How many are compared, the recall, and that of comparing `FIXED`; means of all queries."""
    rows = []
    for query in queries:
        nearest = largest(vectors @ query, NEAREST)
        found = sketch.candidates(query, NEAREST, None)
        fixed = largest(sketch.scores(sketch.code(query)), FIXED)
        recalls = [float(np.isin(nearest, each).mean()) for each in (found, fixed)]
        rows.append((len(found), *recalls))
    compared, recall, fixed_recall = np.mean(rows, axis=0).tolist()
    return compared, recall, fixed_recall


def largest(values: NDArray[np.generic], count: int) -> NDArray[np.intp]:
    """Places of the largest."""
    return np.argpartition(values, -count)[-count:]


if __name__ == "__main__":
    main()
