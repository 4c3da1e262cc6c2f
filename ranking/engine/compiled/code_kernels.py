"""Codes of queries' vectors, as `ranking.engine.segment.codes` explains them, in compiled code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.kernels import row_dots

__all__ = ["DIFFERS", "MARGIN", "MOST", "OUTSIDE", "UNIT", "codes_of"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

# Codes are within -MOST..MOST, so that eight products add up in 16 bits.
MOST = 63
# What stands where among a code's scales.
MARGIN, UNIT, DIFFERS, OUTSIDE = range(4)


@compiled
def codes_of(
    queries: Floats, basis: Floats, bounds: Doubles, width: int
) -> tuple[NDArray[np.int8], Doubles]:
    """Code queries float32 [q, dimension]: cells int8 [q, width], scales float64 [q, 4].

    basis, bounds: those of a `Sketch`. The scales are a `Code`'s margin, unit, differs, outside.
    """
    cells = np.zeros((len(queries), width), np.int8)
    scales = np.empty((len(queries), 4))
    certain = len(basis) == 0
    components = np.empty(queries.shape[1] if certain else len(basis))
    every = np.arange(len(basis))
    code_scale, error, longest, beside, share, gap = bounds
    for q in range(len(queries)):
        if certain:
            components[:] = queries[q]
        else:
            row_dots(basis, every, queries[q], components)
        scale = _rounded(components, cells[q])
        off, within = _lengths(components, cells[q], scale)
        whole = _square(queries[q])
        unit = 1.0 / (scale * code_scale)
        differs = within * error + off * longest
        outside = 0.0
        if not certain:
            outside = np.sqrt(max(whole - within**2, 0.0) + 1e-6 * whole)
        scales[q, UNIT], scales[q, DIFFERS], scales[q, OUTSIDE] = unit, differs, outside
        margin = max(share * (differs + outside * beside), gap * np.sqrt(whole))
        scales[q, MARGIN] = margin / unit
    return cells, scales


@compiled
def _rounded(components: Doubles, cells: NDArray[np.int8]) -> float:
    """Round components to cells, the largest to `MOST`; the scale."""
    largest = np.abs(components).max()
    scale = MOST / largest if largest > 0.0 else float(MOST)
    for place in range(len(components)):
        cells[place] = np.int8(np.rint(components[place] * scale))
    return scale


@compiled
def _lengths(components: Doubles, cells: NDArray[np.int8], scale: float) -> tuple[float, float]:
    """Lengths of what rounding takes away, and of all components."""
    off = within = 0.0
    for place in range(len(components)):
        off += (components[place] - cells[place] / scale) ** 2
        within += components[place] ** 2
    return np.sqrt(off), np.sqrt(within)


@compiled
def _square(query: Floats) -> float:
    whole = 0.0
    for number in query:
        whole += np.float64(number) ** 2
    return whole
