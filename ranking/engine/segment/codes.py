"""Int8 codes of vectors, scanned to find candidates.

The documents of best code are compared exactly afterwards (ranking/engine/kernels/code_scan.cpp).
There are two kinds of codes:

- all components, each rounded. The rounding error of every vector is known, so a document can
  be left out for certain: q.d differs from the codes' product by at most
  |q| * max|d - d'| + |q - q'| * max|d'| (d', q' what the codes stand for).
- the first principal components (of the uncentred second moment, whose leading directions carry
  most of every dot product): a tenth of the bytes, nearly the same candidates. What the rest, the
  residual, can add to a product is at most the length of both residuals, multiplied; it hardly
  ever does. So queries beside the index's own vectors are asked while it is built: how far their
  true nearest fall short, by code, of the last of the best, and what share that is of the bound.
  Others' nearest may fall short by the larger of both. A query of which the codes tell little (a
  text's vector, far from all images) has a wide bound: more documents are compared. So many
  components are kept that the least is read, vectors counted DEARER than codes.

Measured against HNSW (hnswlib, usearch) in docs/decisions/0001-embedded-engine.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranking.engine.top_k import kth_largest

__all__ = ["Codes", "exact_codes", "short_codes"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Such a share of the true nearest is found by queries of the sample.
RECALL = 0.999
DEPTH = 100
PREFIXES = (32, 64, 96, 128, 192, 256, 384)
SAMPLE = 20_000
QUERIES = 48
BLOCK = 16_384
# A byte of a vector that is compared costs as much as so many bytes of codes, which are read in a
# row and need no float64: 3 to 12, measured with 16,000 to 400,000 vectors of 128 and 512.
DEARER = 5
# Cells are within -LARGEST_CELL..LARGEST_CELL, so that four products of a document's cell, made
# unsigned by adding LIFT, add up in 16 bits.
LARGEST_CELL = 63
LIFT = 64
# Documents side by side, and a document's cells side by side.
WIDTH = 64
TOGETHER = 4


@dataclass(frozen=True)
class Codes:
    """Codes of a segment's documents.

    basis: float32 [components, dimension], turns a vector into the components that are coded; [0,
    dimension] where they are the vector's own. blocks: uint8 [documents / 64, width / 4, 64, 4], 64
    documents side by side, cells plus LIFT; width is a multiple of 8. residuals: float32
    [documents], the length of each vector beside its components; [0] where nothing is.
    bounds: float64 [6], the scale of the codes, max|d - d'| within the components, max|d'|, the
    largest residual; and what the nearest may fall short by: a share of the most that a product can
    be wrong, and a part of the query's length, whichever is more.
    """

    basis: Floats
    blocks: NDArray[np.uint8]
    bounds: Doubles
    residuals: Floats

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]], field: str) -> Codes | None:
        """Return the codes among a segment's arrays, if it has any for this field."""
        if f"blocks.{field}" not in arrays:
            return None
        names = ("basis", "blocks", "bounds", "residuals")
        return cls(*(arrays[f"{name}.{field}"] for name in names))

    def arrays(self, field: str) -> dict[str, NDArray[Any]]:
        """Return it as named arrays."""
        return {
            f"basis.{field}": self.basis,
            f"blocks.{field}": self.blocks,
            f"bounds.{field}": self.bounds,
            f"residuals.{field}": self.residuals,
        }


def exact_codes(vectors: Floats) -> Codes:
    """Code all components of float32 [documents, dimension]; the nearest are found for certain."""
    largest = float(np.max(np.abs(vectors), initial=0.0)) or 1.0
    scale = LARGEST_CELL / largest
    cells = np.asarray(np.rint(vectors * scale), np.int8)
    meant = cells / np.float32(scale)
    error = np.linalg.norm(vectors - meant, axis=1).max(initial=0.0)
    longest = np.linalg.norm(meant, axis=1).max(initial=0.0)
    # A little more than measured, for float32's own rounding. Of two documents one may seem so much
    # too good, and the other too bad.
    bounds = np.array([scale, error * 1.001, longest * 1.001, 0.0, 2.0, 0.0])
    own = np.empty((0, vectors.shape[1]), np.float32)
    return Codes(own, _side_by_side(cells), bounds, np.empty(0, np.float32))


def short_codes(vectors: Floats, present: Mask) -> Codes:
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
    return Codes(best.basis, _side_by_side(best.cells), best.bounds, best.residuals)


class _Coded(NamedTuple):
    """Codes of some components, and what they cost a query, in bytes of codes."""

    read: float
    basis: Floats
    cells: NDArray[np.int8]
    bounds: Doubles
    residuals: Floats


class _QueryCodes(NamedTuple):
    """Codes of queries, [queries, ...]: cells, what a product is worth, and how wrong it can be."""

    cells: NDArray[np.int8]
    unit: Doubles
    farthest: Doubles


def _coded(vectors: Floats, axes: Floats, queries: Floats, nearest: NDArray[np.int64]) -> _Coded:
    scale = LARGEST_CELL / _largest_component(vectors, axes)
    cells = _cells(vectors, axes, scale)
    bounds, residuals = _bounds(vectors, axes, cells, scale)
    codes = _encoded(queries, axes, bounds)
    products = _products(cells, codes.cells)
    edges = np.array([kth_largest(row, DEPTH) for row in products])
    short = edges[:, None] - np.take_along_axis(products, nearest, axis=1)
    # Vectors that are all zeros fall short by nothing.
    least = np.finfo(np.float64).tiny
    lengths = np.maximum(np.linalg.norm(queries, axis=1), least)
    shares = short * (codes.unit / np.maximum(codes.farthest, least))[:, None]
    parts = short * (codes.unit / lengths)[:, None]
    bounds[4:] = [max(float(np.quantile(each, RECALL)), 0.0) for each in (shares, parts)]
    margins = np.maximum(bounds[4] * codes.farthest, bounds[5] * lengths) / codes.unit
    compared = float((products >= (edges - margins)[:, None]).sum(axis=1).mean())
    read = cells.nbytes + DEARER * compared * vectors[0].nbytes
    return _Coded(read, axes, cells, bounds, residuals)


def _encoded(queries: Floats, axes: Floats, bounds: Doubles) -> _QueryCodes:
    """Code queries float32 [q, dimension], as code_scan.cpp does."""
    components = queries.astype(np.float64) @ axes.T.astype(np.float64)
    largest = np.abs(components).max(axis=1)
    scale = LARGEST_CELL / np.where(largest > 0.0, largest, 1.0)
    cells = np.rint(components * scale[:, None])
    off = np.linalg.norm(components - cells / scale[:, None], axis=1)
    within = np.square(components).sum(axis=1)
    whole = np.square(queries, dtype=np.float64).sum(axis=1)
    residual = np.sqrt(np.maximum(whole - within, 0.0) + 1e-6 * whole)
    code_scale, error, longest, longest_residual = bounds[:4]
    farthest = np.sqrt(within) * error + off * longest + residual * longest_residual
    return _QueryCodes(cells.astype(np.int8), 1.0 / (scale * code_scale), farthest)


def _products(cells: NDArray[np.int8], queries: NDArray[np.int8]) -> Floats:
    """Products of all codes with queries' codes: [queries, documents], whole numbers."""
    blocks = range(0, len(cells), BLOCK)
    wide = queries.astype(np.float32)
    return np.concatenate([wide @ cells[at : at + BLOCK].astype(np.float32).T for at in blocks], 1)


def _side_by_side(cells: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Cells int8 [documents, components] as the scan wants them; zeros are added, then LIFT."""
    documents, components = cells.shape
    padded = np.pad(cells, ((0, -documents % WIDTH), (0, -components % (2 * TOGETHER))))
    lifted = (padded.astype(np.int16) + LIFT).astype(np.uint8)
    blocks = lifted.reshape(-1, WIDTH, padded.shape[1] // TOGETHER, TOGETHER)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))


def _bounds(
    vectors: Floats, axes: Floats, cells: NDArray[np.int8], scale: float
) -> tuple[Doubles, Floats]:
    """The `bounds` of codes whose nearest fall short by all they can; and their `residuals`."""
    error = longest = 0.0
    residuals = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, start + BLOCK)
        components = vectors[block] @ axes.T
        meant = cells[block] / np.float32(scale)
        error = max(error, float(np.linalg.norm(components - meant, axis=1).max()))
        longest = max(longest, float(np.linalg.norm(meant, axis=1).max()))
        residuals[block] = _beyond(vectors[block], components)
    largest = float(residuals.max(initial=0.0))
    return np.array([scale, error * 1.001, longest * 1.001, largest, 1.0, 0.0]), residuals


def _beyond(vectors: Floats, components: Floats) -> Doubles:
    """Lengths of what vectors have beside their components, rounded up."""
    squares = np.square(vectors, dtype=np.float64).sum(-1)
    within = np.square(components, dtype=np.float64).sum(-1)
    return np.asarray(np.sqrt(np.maximum(squares - within, 0.0) + 1e-6 * squares))


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


def _cells(vectors: Floats, basis: Floats, scale: float) -> NDArray[np.int8]:
    """Components along the rows of `basis` as int8, one scale for all: int8 [documents, d]."""
    codes = np.empty((len(vectors), len(basis)), np.int8)
    for start in range(0, len(vectors), BLOCK):
        components = vectors[start : start + BLOCK] @ basis.T
        codes[start : start + BLOCK] = np.clip(
            np.rint(components * scale), -LARGEST_CELL, LARGEST_CELL
        )
    return codes


def _largest_component(vectors: Floats, basis: Floats) -> float:
    sample = vectors[:: max(len(vectors) // SAMPLE, 1)] @ basis.T
    return float(np.max(np.abs(sample))) or 1.0
