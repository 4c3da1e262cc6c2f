"""Short int8 codes of vectors, scanned in place of the vectors to find candidates.

A code holds a vector's first principal components (of the uncentred second moment, whose leading
directions carry most of every dot product). The documents of best code are compared exactly
afterwards. How many components are kept is measured while the index is built: the fewest with
which queries beside the index's own vectors find at least `RECALL` of their true nearest.
Where no prefix suffices, the code is all components, and the scan as good as exact.

Measured against HNSW (hnswlib, usearch) in docs/decisions/0001-embedded-engine.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.kernels import kth_largest, scan_codes

__all__ = ["Sketch", "make_sketch"]

Floats = NDArray[np.float32]

RECALL = 0.995
DEPTH = 100
PREFIXES = (32, 64, 96, 128, 192, 256, 384)
SAMPLE = 20_000
QUERIES = 48
BLOCK = 16_384


@dataclass(frozen=True)
class Sketch:
    """basis float32 [d, dimension] turns a vector into components; codes int8 [documents, d]."""

    basis: Floats
    codes: NDArray[np.int8]

    def candidates(
        self, query: Floats, count: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Numbers of at least `count` documents of best code, ascending; fewer if there are."""
        scores = np.empty(len(self.codes), np.int32)
        scan_codes(self.codes, _quantized(self.basis @ query), scores)
        rows = None if allowed is None else np.flatnonzero(allowed)
        among = scores if rows is None else scores[rows]
        wanted = surplus(count)
        if len(among) <= wanted:
            return np.arange(len(among)) if rows is None else rows
        best = np.flatnonzero(among >= kth_largest(among, wanted))
        return best if rows is None else rows[best]


def surplus(count: int) -> int:
    """How many candidates to compare exactly in order to find `count`."""
    return 2 * count + 50


def _quantized(components: Floats) -> NDArray[np.int8]:
    """Scale one vector's components to -127..127: the order of products is not changed."""
    largest = float(np.max(np.abs(components), initial=0.0))
    return np.asarray(np.rint(components * (127.0 / (largest or 1.0))), np.int8)


def make_sketch(vectors: Floats, present: NDArray[np.bool_]) -> Sketch:
    """Make codes of float32 [documents, dimension]; rows that are not `present` hold zeros."""
    random = np.random.default_rng(0)
    rows = np.flatnonzero(present)
    sample = vectors[np.sort(random.choice(rows, min(len(rows), SAMPLE), replace=False))]
    basis = _principal_axes(sample)
    queries = _beside(sample[:: max(len(sample) // QUERIES, 1)][:QUERIES], random)
    nearest = _nearest(vectors, queries)
    codes = _codes(vectors, basis)
    for length in (*(p for p in PREFIXES if p < vectors.shape[1]), vectors.shape[1]):
        sketch = Sketch(basis[:length], np.ascontiguousarray(codes[:, :length]))
        found = [sketch.candidates(query, DEPTH, None) for query in queries]
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(nearest, found, strict=True)])
        if recall >= RECALL:
            break
    return sketch


def _principal_axes(sample: Floats) -> Floats:
    """Eigenvectors of the sample's second moment as rows, the largest eigenvalue first."""
    _, axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    return np.ascontiguousarray(axes.T[::-1], np.float32)


def _beside(vectors: Floats, random: np.random.Generator) -> Floats:
    """Queries like the documents but of none of them: half their length is noise."""
    noise = random.standard_normal(vectors.shape).astype(np.float32)
    noise *= np.linalg.norm(vectors, axis=1, keepdims=True) / np.sqrt(np.float32(noise.shape[1]))
    return np.asarray(vectors + 0.5 * noise, np.float32)


def _nearest(vectors: Floats, queries: Floats) -> NDArray[np.int64]:
    """Rows of largest dot product with each query: int64 [queries, DEPTH]."""
    products = np.concatenate(
        [queries @ vectors[start : start + BLOCK].T for start in range(0, len(vectors), BLOCK)], 1
    )
    return np.argpartition(-products, DEPTH, axis=1)[:, :DEPTH]


def _codes(vectors: Floats, basis: Floats) -> NDArray[np.int8]:
    """All components as int8, one scale for all: int8 [documents, dimension]."""
    codes = np.empty(vectors.shape, np.int8)
    scale = 127.0 / _largest_component(vectors, basis)
    for start in range(0, len(vectors), BLOCK):
        components = vectors[start : start + BLOCK] @ basis.T
        codes[start : start + BLOCK] = np.clip(np.rint(components * scale), -127, 127)
    return codes


def _largest_component(vectors: Floats, basis: Floats) -> float:
    sample = vectors[:: max(len(vectors) // SAMPLE, 1)] @ basis.T
    return float(np.max(np.abs(sample))) or 1.0
