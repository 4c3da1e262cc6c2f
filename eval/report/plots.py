"""Plots as SVG text, without external resources.

Text takes the colour of the page around it. Profiles keep their colour from plot to plot
(Okabe and Ito's palette, which the colour-blind can tell apart).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from eval.measure.results import Estimate

__all__ = ["Line", "colour", "dot_plot", "heat_map", "histograms", "line_plot", "ticks"]

Values = NDArray[np.float64]
Scale = Callable[[float], float]

_COLOURS = {
    "lexical": "#0072b2",
    "vector": "#d98200",
    "hybrid": "#009e73",
    "hybrid_sum": "#b8609a",
    "rank-bm25 defaults": "#8a8a8a",
    "relevant": "#009e73",
    "best that is not relevant": "#d55e00",
}
_SPARE = ("#56b4e9", "#d55e00", "#a09000", "#7f5fbf")
MOST_TICKS = 6  # more points than this are not marked one by one
_FONT = "font-family='system-ui,sans-serif' font-size='12' fill='currentColor'"


@dataclass(frozen=True)
class Line:
    """A series of points (x, y), with a band (low, high) where there is one."""

    series: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def colour(series: str) -> str:
    """The colour of a profile or series."""
    return _COLOURS.get(series, _SPARE[sum(series.encode()) % len(_SPARE)])


def dot_plot(
    rows: Mapping[str, Mapping[str, Estimate]], chance: Mapping[str, float], label: str
) -> str:
    """Intervals by row (protocol), a dot a profile; the chance level is a dashed tick."""
    left, width, line, gap = 170, 720, 15, 14
    top = max([dot.high for dots in rows.values() for dot in dots.values()] + [0.05])
    marks = ticks(0, top)
    x = _scale(0, max(marks[-1], top), left, width - 20)
    parts, y = [], 24.0
    for name, dots in rows.items():
        parts.append(_text(left - 12, y + line * (len(dots) - 1) / 2 + 4, name, "end"))
        start = y
        for series, dot in dots.items():
            at, ink = f"{y:.1f}", colour(series)
            title = f"{series}: {dot.value:.3f} ({dot.low:.3f} to {dot.high:.3f})"
            parts.append(
                f"<g><title>{escape(title)}</title>"
                f"<line x1='{x(dot.low):.1f}' x2='{x(dot.high):.1f}' y1='{at}' y2='{at}' "
                f"stroke='{ink}' stroke-width='2.5' stroke-linecap='round'/>"
                f"<circle cx='{x(dot.value):.1f}' cy='{at}' r='4.5' fill='{ink}'/></g>"
            )
            y += line
        level = x(chance.get(name, 0.0))
        parts.append(
            f"<line x1='{level:.1f}' x2='{level:.1f}' y1='{start - 8:.1f}' y2='{y - 6:.1f}' "
            "stroke='currentColor' stroke-dasharray='3 2' opacity='.7'><title>chance</title></line>"
        )
        y += gap
    grid = _grid_x(marks, x, 12, y - 6)
    every = list(dict.fromkeys(series for dots in rows.values() for series in dots))
    foot = _text(left, y + 30, f"{label}; dashed: a random ranking", "start")
    key = _legend(every, left, y + 48)
    return _svg(width, y + 64, grid + parts + [foot, *key], label)


def line_plot(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    level: float | None = None,
    mark: float | None = None,
    top: float | None = None,
) -> str:
    """Curves, on a scale from 0 to `top` where that is given.

    `level` draws a dashed horizontal line, `mark` a dotted vertical one.
    """
    width, height, left, bottom = 720, 300, 78, 250
    every_y = [v for line in lines for v in (*line.y, *line.low, *line.high)]
    every_y += [] if top is None else [0.0, top]
    every_x = [v for line in lines for v in line.x]
    y_ticks = ticks(min([*every_y, level or every_y[0]]), max([*every_y, level or every_y[0]]))
    x_ticks = sorted(set(every_x))
    if len(x_ticks) > MOST_TICKS:
        x_ticks = [t for t in ticks(x_ticks[0], x_ticks[-1]) if x_ticks[0] <= t <= x_ticks[-1]]
    x = _scale(min(every_x), max(every_x), left, width - 20)
    y = _scale(y_ticks[0], y_ticks[-1], bottom, 14)
    parts = _grid_x(x_ticks, x, 14, bottom) + _grid_y(y_ticks, y, left, width - 20)
    for line in lines:
        ink = colour(line.series)
        if line.low:
            edge = [*zip(line.x, line.high, strict=True)]
            edge += [*zip(line.x, line.low, strict=True)][::-1]
            points = _points(edge, x, y)
            parts.append(f"<polygon points='{points}' fill='{ink}' opacity='.18'/>")
        points = _points(list(zip(line.x, line.y, strict=True)), x, y)
        parts.append(
            f"<polyline points='{points}' fill='none' stroke='{ink}' stroke-width='2' "
            "stroke-linejoin='round'/>"
        )
    if level is not None:
        parts.append(
            f"<line x1='{left}' x2='{width - 20}' y1='{y(level):.1f}' y2='{y(level):.1f}' "
            "stroke='currentColor' stroke-dasharray='4 3' opacity='.7'/>"
        )
    if mark is not None:
        parts.append(
            f"<line x1='{x(mark):.1f}' x2='{x(mark):.1f}' y1='14' y2='{bottom}' "
            "stroke='currentColor' stroke-dasharray='1 3'/>"
        )
    parts.append(_text((left + width) / 2, bottom + 37, x_label, "middle"))
    parts.append(_upwards(18, bottom / 2, y_label))
    parts += _legend([line.series for line in lines], left, bottom + 54)
    return _svg(width, height + 12, parts, f"{y_label} over {x_label}")


def heat_map(matrix: Values, rows: str, columns: str) -> str:
    """A matrix of similarities; darker is more alike. Row i belongs to column i."""
    side, left, top = 320, 44, 24
    cell = side / max(matrix.shape)
    low, high = float(matrix.min()), float(matrix.max())
    shade = (matrix - low) / ((high - low) or 1.0)
    parts = [
        f"<rect x='{left + c * cell:.1f}' y='{top + r * cell:.1f}' width='{cell + 0.3:.1f}' "
        f"height='{cell + 0.3:.1f}' fill='#0072b2' fill-opacity='{value:.2f}'/>"
        for r, row in enumerate(shade)
        for c, value in enumerate(row)
    ]
    parts.append(_text(left + side / 2, top - 8, columns, "middle"))
    parts.append(_upwards(left - 12, top + side / 2, rows))
    foot = f"cosine from {low:.2f} (pale) to {high:.2f} (blue)"
    parts.append(_text(left, top + side + 20, foot, "start"))
    parts.append(_text(left, top + side + 36, "the diagonal holds the pairs", "start"))
    return _svg(side + left + 20, top + side + 46, parts, "Similarity matrix of a batch")


def histograms(panels: Mapping[str, Mapping[str, Values]], x_label: str) -> str:
    """One panel a profile, in it the distribution of each series of scores."""
    width, left, high, gap = 720, 140, 78, 30
    parts: list[str] = []
    top = 14.0
    names: list[str] = []
    for panel, series in panels.items():
        pooled = np.concatenate([values for values in series.values() if len(values)])
        edges = np.histogram_bin_edges(pooled, bins=48)
        x = _scale(float(edges[0]), float(edges[-1]) or 1.0, left, width - 20)
        shares = {name: np.histogram(v, edges)[0] / max(len(v), 1) for name, v in series.items()}
        peak = max(float(share.max()) for share in shares.values()) or 1.0
        for name, share in shares.items():
            steps = [(float(edges[0]), 0.0)]
            for start, end, height in zip(edges[:-1], edges[1:], share, strict=True):
                steps += [(float(start), float(height)), (float(end), float(height))]
            steps.append((float(edges[-1]), 0.0))
            points = _points(steps, x, _scale(0, peak, top + high, top))
            parts.append(
                f"<polygon points='{points}' fill='{colour(name)}' fill-opacity='.35' "
                f"stroke='{colour(name)}' stroke-width='1.2'/>"
            )
            names.append(name)
        parts.append(_text(left - 12, top + high / 2 + 4, panel, "end"))
        marks = [t for t in ticks(float(edges[0]), float(edges[-1])) if edges[0] <= t <= edges[-1]]
        parts += [_text(x(t), top + high + 15, f"{t:g}", "middle") for t in marks]
        top += high + gap
    parts.append(_text(left, top + 6, x_label, "start"))
    parts += _legend(list(dict.fromkeys(names)), left, top + 24)
    return _svg(width, top + 40, parts, x_label)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover low to high (Heckbert, Graphics Gems, 1990)."""
    step = 10 ** np.floor(np.log10(max(high - low, 1e-9) / about))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= about:
            step *= factor
            break
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(np.round(n * step, 10)) for n in np.arange(first, last + 1)]


def _points(pairs: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in pairs)


def _grid_x(marks: Sequence[float], x: Scale, top: float, bottom: float) -> list[str]:
    lines = [
        f"<line x1='{x(t):.1f}' x2='{x(t):.1f}' y1='{top}' y2='{bottom:.1f}' "
        "stroke='currentColor' opacity='.13'/>"
        for t in marks
    ]
    return lines + [_text(x(t), bottom + 15, f"{t:g}", "middle") for t in marks]


def _grid_y(marks: Sequence[float], y: Scale, left: float, right: float) -> list[str]:
    lines = [
        f"<line x1='{left}' x2='{right}' y1='{y(t):.1f}' y2='{y(t):.1f}' "
        "stroke='currentColor' opacity='.13'/>"
        for t in marks
    ]
    return lines + [_text(left - 8, y(t) + 4, f"{t:g}", "end") for t in marks]


def _legend(series: Sequence[str], left: float, y: float) -> list[str]:
    parts, x = ["<g class='legend'>"], left
    for name in series:
        parts.append(f"<circle cx='{x + 5:.1f}' cy='{y - 4:.1f}' r='5' fill='{colour(name)}'/>")
        parts.append(_text(x + 15, y, name, "start"))
        x += 34 + 7 * len(name)
    return [*parts, "</g>"]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {_FONT}>{escape(text)}</text>"


def _upwards(x: float, y: float, text: str) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='middle' {_FONT} "
        f"transform='rotate(-90 {x:.1f} {y:.1f})'>{escape(text)}</text>"
    )


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' "
        f"role='img' aria-label='{escape(label)}'>{''.join(parts)}</svg>"
    )
