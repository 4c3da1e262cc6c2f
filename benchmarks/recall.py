"""How many of the nearest the codes find, for queries that are less and less like the documents.

    python benchmarks/recall.py --size 100000

For each kind of query: how many documents are compared, and recall@100.
`--keep` is the folder of `benchmarks/engine.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from made_up import DIMENSION, kept_corpus, make_queries
from numpy.typing import NDArray

from ranking.engine.kernels import _core
from ranking.engine.segment.codes import short_codes

NEAREST = 100
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
    present = np.ones(len(vectors), np.bool_)
    codes = short_codes(vectors, present)
    core = (
        _core.Vectors(vectors, present, None, 2),
        _core.Codes(codes.basis, codes.blocks, codes.bounds, codes.residuals, len(vectors)),
    )
    print(f"{len(vectors):,} documents, {len(codes.basis)} components")
    for name, queries in kinds(own).items():
        compared, recall = measure(core, vectors, queries)
        print(f"{name:24} compared {compared:6.0f}  recall {recall:.3f}")


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


def measure(
    core: tuple[_core.Vectors, _core.Codes], vectors: Floats, queries: Floats
) -> tuple[float, float]:
    """How many are compared, and the recall; means of all queries."""
    rows = []
    for query in queries:
        nearest = largest(vectors @ query, NEAREST)
        found, *_, scan = _core.nearest(*core, query, None, NEAREST)
        rows.append((scan.compared, float(np.isin(nearest, found).mean())))
    compared, recall = np.mean(rows, axis=0).tolist()
    return compared, recall


def largest(values: NDArray[np.generic], count: int) -> NDArray[np.intp]:
    """Places of the largest."""
    return np.argpartition(values, -count)[-count:]


if __name__ == "__main__":
    main()
