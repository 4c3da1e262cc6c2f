"""A result as an HTML table for notebooks."""

from __future__ import annotations

import math
from html import escape

from ranking.types import Result

__all__ = ["result_table"]

BAR = 60  # pixels
LONGEST_CAPTION = 100


def result_table(result: Result) -> str:
    """Rank, score, id, caption, and each feature as a bar against the best hit's."""
    names = [name for name in result.features if not name.startswith("attribute(")]
    largest = {
        name: max(
            [value for value in result.features[name].tolist() if math.isfinite(value)] or [0]
        )
        for name in names
    }
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", "score", "id", *names, "caption"))
    rows = []
    for rank, hit in enumerate(result, 1):
        caption = ((hit.document.caption if hit.document else "") or "")[:LONGEST_CAPTION]
        bars = "".join(_bar(hit.features[name], largest[name]) for name in names)
        rows.append(
            f"<tr><td>{rank}</td><td>{hit.score:.4g}</td><td>{escape(hit.id)}</td>{bars}"
            f'<td style="text-align:left">{escape(caption)}</td></tr>'
        )
    count = f"<caption>{len(result)} of {result.total:,} matches</caption>"
    return f"<table>{count}<tr>{head}</tr>{''.join(rows)}</table>"


def _bar(value: float, largest: float) -> str:
    share = max(0.0, min(1.0, value / largest)) if largest > 0 and math.isfinite(value) else 0.0
    bar = f"display:inline-block;height:6px;width:{BAR * share:.0f}px;background:#0072b2"
    return f'<td>{value:.3f} <i style="{bar}"></i></td>'
