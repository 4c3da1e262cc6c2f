"""What was found for one record: differences, faults, and how much was compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BM25_TOLERANCE", "TOLERANCE", "Comparison", "difference"]

BM25_TOLERANCE = 1e-9
"""Relative, for bm25."""
TOLERANCE = 1e-6
"""Absolute below 1, relative above, for closeness, distance and whatever is made of them."""


@dataclass
class Comparison:
    """What was found for one record.

    differences: feature, or "relevance", -> largest difference (relative for bm25).
    faults: sentences about what differs by more than is demanded.
    overlap: cut -> share of Vespa's best hits that are among ours.
    ties: whether equal scores in a phase's window leave open which hits were reranked, or how.
    values: how many numbers were compared. apart: hits that Vespa ranked as if they had none of
    the words, as weakAnd does to some. ordered: whether the order had to be the same.
    total: whether it had to be the same, or within bounds.
    """

    differences: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    overlap: dict[int, float] = field(default_factory=dict)
    ties: bool = False
    values: int = 0
    apart: set[str] = field(default_factory=set)
    ordered: bool = False
    total: Literal["", "same", "within"] = ""

    def note(self, name: str, ours: float, vespas: float) -> None:
        """Record a difference; one that is too large is a fault."""
        self.values += 1
        gap = difference(name, ours, vespas)
        self.differences[name] = max(self.differences.get(name, 0.0), gap)
        if gap > (BM25_TOLERANCE if name.startswith("bm25(") else TOLERANCE):
            self.faults.append(f"{name}: {ours!r} here, {vespas!r} in Vespa")


def difference(name: str, ours: float, vespas: float) -> float:
    """How far two values are apart, as the tolerances count it; infinite if one alone is NaN."""
    if ours == vespas or (math.isnan(ours) and math.isnan(vespas)):
        return 0.0
    scale = abs(vespas) if name.startswith("bm25(") else max(abs(vespas), 1.0)
    gap = abs(ours - vespas) / scale if scale else math.inf
    return math.inf if math.isnan(gap) else gap
