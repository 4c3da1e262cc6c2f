"""A map of an index: documents as points, a projection of their vectors to a plane."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.engine.engine import EmbeddedEngine

__all__ = ["MOST_POINTS", "map_of", "plane"]

MOST_POINTS = 3_000


def map_of(engine: EmbeddedEngine, field: str) -> dict[str, Any]:
    """Points of the documents with a vector in `field`; every n-th if there are many.

    Each point: id, x, y (-1 to 1), modality. `shown` is the share of the variance, 0 to 1.
    """
    step = max(1, -(-engine.count() // MOST_POINTS))
    found = [engine.get(identifier) for identifier in islice(engine.ids(), 0, None, step)]
    documents = [each for each in found if each is not None and field in each.vectors]
    if not documents:
        return {"points": [], "shown": 0.0}
    places, shown = plane(np.stack([each.vectors[field] for each in documents]))
    points = [
        {"id": each.id, "x": round(float(x), 4), "y": round(float(y), 4), "modality": each.modality}
        for each, (x, y) in zip(documents, places, strict=True)
    ]
    return {"points": points, "shown": shown}


def plane(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the first two principal components, float64 [n, 2] within -1 to 1, and their share.

    vectors: float32 [n, D]. The share is that of the variance. Signs are
    fixed: the entry with the largest magnitude of each axis is positive.
    """
    deviations = (vectors - vectors.mean(axis=0)).astype(np.float64)
    values, axes = np.linalg.eigh(deviations.T @ deviations)  # ascending
    axes = axes[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = np.zeros((len(vectors), 2))
    points[:, : axes.shape[1]] = deviations @ axes
    total = float(values.sum())
    shown = float(values[-2:].sum()) / total if total > 0 else 0.0
    return points / (float(np.abs(points).max()) or 1.0), shown
