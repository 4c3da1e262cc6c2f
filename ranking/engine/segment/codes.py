"""Int8 codes of vectors, scanned in place of the vectors to find candidates.

The documents of best code are compared exactly afterwards. There are two kinds of codes:

- all components, each rounded. The rounding error of every vector is known, so a document can
  be left out for certain: q.d differs from the codes' product by at most
  |q| * max|d - d'| + |q - q'| * max|d'| (d', q' what the codes stand for).
- the first principal components (of the uncentred second moment, whose leading directions carry
  most of every dot product): a tenth of the bytes, nearly the same candidates. What the rest can
  add to a product is at most the length of the rest of both vectors, multiplied; it hardly ever
  does. So queries beside the index's own vectors are asked while it is built: how far their true
  nearest fall short, by code, of the last of the best, and what share that is of the bound. Others'
  nearest may fall short by the larger of both. A query of which the codes tell little (a text's
  vector, far from all images) has a wide bound: more documents are compared. So many components
  are kept that the fewest bytes are read.

Measured against HNSW (hnswlib, usearch) in docs/decisions/0001-embedded-engine.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.compiled.code_kernels import MOST, codes_of
from ranking.engine.compiled.kernels import kth_largest, none, scan_codes

__all__ = ["Code", "Sketch", "exact_sketch", "short_sketch"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Such a share of the true nearest is found by queries of the sample.
RECALL = 0.999
DEPTH = 100
PREFIXES = (32, 64, 96, 128, 192, 256, 384)
SAMPLE = 20_000
QUERIES = 48
BLOCK = 16_384
WIDTH = 64
NOTHING = none((0,), np.float32)


@dataclass(frozen=True)
class Code:
    """A query's code, int8 [d].

    unit, differs, outside: the dot product with a document is its score times `unit`, give or take
    `differs` and `outside` times the length of what the document's code leaves out. margin: how far
    a document among the nearest may score below the last of as many best codes.
    """

    cells: NDArray[np.int8]
    margin: float
    unit: float
    differs: float
    outside: float


@dataclass(frozen=True)
class Sketch:
    """Codes of `documents` documents, int8 [blocks, d, 64]: see `kernels.scan_codes`.

    basis: float32 [components, dimension], turns a vector into the components that are coded; [0,
    dimension] where they are the vector's own. bounds: float64 [6], the scale of the codes,
    max|d - d'| within the components, max|d'|, the largest of `outside`; and what the nearest may
    fall short by: a share of the most that a product can be wrong, and a part of the query's
    length, whichever is more. outside: float32 [documents], length of each vector beside its
    components; [0] where nothing is beside them.
    """

    documents: int
    basis: Floats
    codes: NDArray[np.int8]
    bounds: NDArray[np.float64]
    outside: Floats

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]], field: str) -> Sketch | None:
        """Return the codes among a segment's arrays, if it has any for this field."""
        if f"blocks.{field}" not in arrays:
            return None
        documents = len(arrays[f"vectors.{field}"])
        parts = (arrays[f"{name}.{field}"] for name in ("basis", "blocks", "bounds", "outside"))
        return cls(documents, *parts)

    def arrays(self, field: str) -> dict[str, NDArray[Any]]:
        """Return it as named arrays."""
        return {
            f"basis.{field}": self.basis,
            f"blocks.{field}": self.codes,
            f"bounds.{field}": self.bounds,
            f"outside.{field}": self.outside,
        }

    @property
    def longest(self) -> float:
        """The largest of `outside`; 0 for none."""
        return float(self.bounds[3])

    @property
    def certain(self) -> bool:
        """Whether the nearest are always among the candidates."""
        return len(self.basis) == 0

    def code_all(self, queries: Floats) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Return the codes of queries float32 [q, dimension]: see `code_kernels.codes_of`."""
        return codes_of(queries, self.basis, self.bounds, self.codes.shape[1])

    def code(self, query: Floats) -> Code:
        """Return a query's code."""
        cells, scales = self.code_all(query[None])
        return Code(cells[0], *scales[0].tolist())

    def scores(self, code: Code) -> NDArray[np.int32]:
        """Return the products of all documents' codes with a query's: int32 [documents]."""
        scores = np.empty(WIDTH * len(self.codes), np.int32)
        scan_codes(self.codes, code.cells, scores)
        return scores[: self.documents]

    def candidates(self, query: Floats, count: int, allowed: Mask | None) -> NDArray[np.int64]:
        """Numbers of the documents to compare in order to find the `count` nearest, ascending."""
        code = self.code(query)
        scores = self.scores(code)
        rows = None if allowed is None else np.flatnonzero(allowed)
        among = scores if rows is None else scores[rows]
        if len(among) <= max(count, 1):
            return np.arange(len(among)) if rows is None else rows
        best = np.flatnonzero(among >= kth_largest(among, max(count, 1)) - code.margin)
        return best if rows is None else rows[best]


def _beyond(vectors: Floats, components: Floats) -> NDArray[np.float64]:
    """Lengths of what vectors have beside their components, rounded up."""
    squares = np.square(vectors, dtype=np.float64).sum(-1)
    within = np.square(components, dtype=np.float64).sum(-1)
    return np.asarray(np.sqrt(np.maximum(squares - within, 0.0) + 1e-6 * squares))


def exact_sketch(vectors: Floats) -> Sketch:
    """Code all components of float32 [documents, dimension], and bound the rounding error."""
    largest = float(np.max(np.abs(vectors), initial=0.0)) or 1.0
    scale = MOST / largest
    codes = np.asarray(np.rint(vectors * scale), np.int8)
    meant = codes / np.float32(scale)
    error = np.linalg.norm(vectors - meant, axis=1).max(initial=0.0)
    longest = np.linalg.norm(meant, axis=1).max(initial=0.0)
    # A little more than measured, for float32's own rounding. Of two documents one may seem so much
    # too good, and the other too bad.
    bounds = np.array([scale, error * 1.001, longest * 1.001, 0.0, 2.0, 0.0])
    none = np.empty((0, vectors.shape[1]), np.float32)
    return Sketch(len(vectors), none, _side_by_side(codes), bounds, NOTHING)


def short_sketch(vectors: Floats, present: Mask) -> Sketch:
    """Code the leading components; rows that are not `present` hold zeros."""
    random = np.random.default_rng(0)
    rows = np.flatnonzero(present)
    sample = vectors[np.sort(random.choice(rows, min(len(rows), SAMPLE), replace=False))]
    basis = _principal_axes(sample)
    queries = _beside(sample[:: max(len(sample) // QUERIES, 1)][:QUERIES], random)
    nearest = _nearest(vectors, queries)
    first, *longer = *(p for p in PREFIXES if p < vectors.shape[1]), vectors.shape[1]
    best = _coded(vectors, basis[:first], queries, nearest)
    for length in longer:
        if len(vectors) * length >= best.read:
            break
        best = min(best, _coded(vectors, basis[:length], queries, nearest), key=lambda it: it.read)
    return best.sketch


class _Coded(NamedTuple):
    """Codes of some components, and what they cost: bytes that a query reads, all in all."""

    read: float
    sketch: Sketch


def _coded(vectors: Floats, axes: Floats, queries: Floats, nearest: NDArray[np.int64]) -> _Coded:
    scale = MOST / _largest_component(vectors, axes)
    codes = _codes(vectors, axes, scale)
    bounds, outside = _bounds(vectors, axes, codes, scale)
    sketch = Sketch(len(vectors), axes, _side_by_side(codes), bounds, outside)
    sketch = replace(sketch, bounds=np.append(bounds[:-2], _shortfall(sketch, queries, nearest)))
    compared = np.mean([len(sketch.candidates(query, DEPTH, None)) for query in queries])
    return _Coded(codes.nbytes + float(compared) * vectors[0].nbytes, sketch)


def _shortfall(sketch: Sketch, queries: Floats, nearest: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far nearly all of the true nearest score below the last of as many best codes.

    As a share of the bound, and as a dot product with a query of length 1. nearest: int64 [queries,
    DEPTH].
    """
    codes = [sketch.code(query) for query in queries]
    short = np.empty(nearest.shape)
    for row, (code, own) in enumerate(zip(codes, nearest, strict=True)):
        scores = sketch.scores(code)
        short[row] = kth_largest(scores, DEPTH) - scores[own]
    # Vectors that are all zeros fall short by nothing.
    least = np.finfo(np.float64).tiny
    margins = np.maximum([code.margin for code in codes], least)
    units = [code.unit for code in codes] / np.maximum(np.linalg.norm(queries, axis=1), least)
    both = [short / margins[:, None], short * units[:, None]]
    return np.maximum([np.quantile(each, RECALL) for each in both], 0.0)


def _side_by_side(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Codes int8 [documents, components] as `kernels.scan_codes` wants them, zeros added."""
    documents, components = codes.shape
    padded = np.pad(codes, ((0, -documents % WIDTH), (0, -components % 8)))
    blocks = padded.reshape(-1, WIDTH, padded.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(blocks)


def _bounds(
    vectors: Floats, axes: Floats, codes: NDArray[np.int8], scale: float
) -> tuple[NDArray[np.float64], Floats]:
    """The `bounds` of a sketch whose nearest fall short by all they can; and its `outside`."""
    error = longest = 0.0
    outside = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, start + BLOCK)
        components = vectors[block] @ axes.T
        meant = codes[block] / np.float32(scale)
        error = max(error, float(np.linalg.norm(components - meant, axis=1).max()))
        longest = max(longest, float(np.linalg.norm(meant, axis=1).max()))
        outside[block] = _beyond(vectors[block], components)
    beside = float(outside.max(initial=0.0))
    return np.array([scale, error * 1.001, longest * 1.001, beside, 1.0, 0.0]), outside


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


def _codes(vectors: Floats, basis: Floats, scale: float) -> NDArray[np.int8]:
    """Components along the rows of `basis` as int8, one scale for all: int8 [documents, d]."""
    codes = np.empty((len(vectors), len(basis)), np.int8)
    for start in range(0, len(vectors), BLOCK):
        components = vectors[start : start + BLOCK] @ basis.T
        codes[start : start + BLOCK] = np.clip(np.rint(components * scale), -MOST, MOST)
    return codes


def _largest_component(vectors: Floats, basis: Floats) -> float:
    sample = vectors[:: max(len(vectors) // SAMPLE, 1)] @ basis.T
    return float(np.max(np.abs(sample))) or 1.0
