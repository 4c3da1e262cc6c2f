"""Plots of an encoder: learning curves, similarities, neighbours, heat maps.

Everything is drawn on figures of its own, so that nothing global is touched; `figure.savefig`
writes them.
"""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from encoders.base.printable import printable
from encoders.training.curves import CONCEPT_MAP, VALIDATION

__all__ = ["Neighbour", "draw_curves", "draw_heat_maps", "draw_neighbours", "draw_similarities"]

Floats = NDArray[np.float32]
Neighbour = tuple[Image.Image, str, float, bool]  # image, caption, cosine, the query's own
BLUE, ORANGE, GREEN = "#0072b2", "#d98200", "#009e73"
CURVES = (
    ("loss", "loss, nats", BLUE),
    ("accuracy", "accuracy in the batch", ORANGE),
    ("temperature", "temperature", "#7f5fbf"),
    (VALIDATION, "validation MRR@10", GREEN),
    (CONCEPT_MAP, "naming concepts: validation mAP", GREEN),
)


def draw_curves(training_csv: str) -> Figure:
    """Loss, accuracy, temperature and validation over the epochs of a training.csv."""
    rows = list(csv.DictReader(training_csv.splitlines()))
    steps = max(int(row["step"]) for row in rows) / max(int(row["epoch"]) for row in rows)
    drawn = [curve for curve in CURVES if any(row[curve[0]] for row in rows)]
    figure = Figure(figsize=(10, 3.1 * math.ceil(len(drawn) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(drawn) / 2), 2, squeeze=False).flatten()
    for axis, (name, label, colour) in zip(axes, drawn, strict=False):
        points = [(int(row["step"]) / steps, float(row[name])) for row in rows if row[name]]
        axis.plot(*zip(*points, strict=True), color=colour, marker="." if "val" in name else "")
        axis.set_title(label, fontsize=11, loc="left")
        axis.grid(alpha=0.25)
        if name == VALIDATION:
            best = max(points, key=lambda point: point[1])
            told, below = f"{best[1]:.3f}, kept", (-6, -16)
            axis.annotate(told, best, below, "data", "offset points", ha="right")
            axis.plot(*best, "o", color=colour)
    for axis in axes[len(drawn) :]:
        axis.remove()
    for axis in axes[max(0, len(drawn) - 2) : len(drawn)]:
        axis.set_xlabel("epoch")
    return figure


def draw_similarities(
    images: Sequence[Image.Image], captions: Sequence[str], similarities: Floats
) -> Figure:
    """Cosine of each caption (rows) and each image (columns), float32 [N, N]; pairs framed."""
    count = len(images)
    figure = Figure(figsize=(4.2 + 0.72 * count, 1.3 + 0.72 * count), layout="constrained")
    grid = figure.add_gridspec(2, count, height_ratios=[1, count])
    for column, image in enumerate(images):
        _show(figure.add_subplot(grid[0, column]), image)
    axis = figure.add_subplot(grid[1, :])
    axis.imshow(similarities, cmap="viridis", aspect="auto")
    middle = (float(similarities.min()) + float(similarities.max())) / 2
    best = similarities.argmax(axis=1)
    for row, column in np.ndindex(*similarities.shape):
        value = float(similarities[row, column])
        weight = "bold" if best[row] == column else "normal"
        colour = "white" if value < middle else "black"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour,
                  weight=weight)  # fmt: skip
        if row == column:
            axis.add_patch(_frame(column, row))
    axis.set_yticks(range(count), [_short(caption, 44, 2) for caption in captions], fontsize=8)
    axis.set_xticks([])
    found = int((best == np.arange(count)).sum())
    figure.suptitle(f"{found} of {count} captions are nearest to their own image", fontsize=12)
    return figure


def draw_neighbours(
    queries: Sequence[tuple[str | Image.Image, Sequence[Neighbour]]],
) -> Figure:
    """A row for each query, a text or an image, and its hits; its own is in green."""
    shown = max(len(hits) for _, hits in queries)
    figure = Figure(figsize=(2 * (shown + 1), 2.5 * len(queries)), layout="constrained")
    axes = figure.subplots(len(queries), shown + 1, squeeze=False)
    for row, (query, hits) in zip(axes, queries, strict=True):
        first = row[0]
        if isinstance(query, str):
            first.text(0.5, 0.5, _short(query, 20, 9), ha="center", va="center", fontsize=10)
            first.axis("off")
        else:
            _show(first, query)
            first.set_title("others like this", fontsize=9)
        for axis, (image, caption, cosine, own) in zip(row[1:], hits, strict=False):
            _show(axis, image)
            axis.set_title(f"{cosine:.2f}", fontsize=9, color=GREEN if own else "black",
                           weight="bold" if own else "normal")  # fmt: skip
            axis.set_xlabel(_short(caption, 32, 3), fontsize=6.5)
    return figure


def draw_heat_maps(
    image: Image.Image, text: str, overlays: Sequence[tuple[str, Image.Image]]
) -> Figure:
    """The image, and beside it each overlay under its name."""
    figure = Figure(figsize=(3.2 * (len(overlays) + 1), 3.9), layout="constrained")
    axes = figure.subplots(1, len(overlays) + 1, squeeze=False)[0]
    for axis, (name, picture) in zip(axes, [("image", image), *overlays], strict=True):
        _show(axis, picture)
        axis.set_title(name, fontsize=10)
    figure.suptitle(_short(f"“{text}”", 90, 2), fontsize=11)
    return figure


def _show(axis: Axes, image: Image.Image) -> None:
    axis.imshow(np.asarray(image.convert("RGB")))
    axis.set_xticks([])
    axis.set_yticks([])


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=2)


def _short(text: str, width: int, lines: int) -> str:
    """Text of others: no control characters, and no `$` that begins a formula."""
    wrapped = textwrap.wrap(printable(text), width, max_lines=lines, placeholder=" …")
    return "\n".join(wrapped).replace("$", r"\$")
