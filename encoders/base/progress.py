"""The interface by which work reports its progress."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any, Protocol

__all__ = ["EXPECTED", "Progress", "expect", "in_notebook", "silent"]

EXPECTED = "expected"
SELDOM = 0.1  # seconds between two updates of a notebook's bar


class Progress(Protocol):
    """Called after each step of long work."""

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Report `done` of `total` steps of `stage` (total None: not known), and a short note."""


def silent(stage: str, done: int, total: int | None, note: str = "") -> None:
    """Report nothing."""


def expect(progress: Progress, what: str, seconds: float, size: float) -> None:
    """Report, before work begins, how long it may take and how many bytes it may write."""
    progress(EXPECTED, 1, 1, f"{what}: about {_duration(seconds)}, {_size(size)} on disk")


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _size(size: float) -> str:
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_:
            return f"{size / bytes_:,.1f} {unit}"
    return "less than 1 MB"


_bars: dict[str, tuple[Any, float]] = {}
"""Stage -> the display that shows its bar, and when it was last updated."""


def in_notebook(stage: str, done: int, total: int | None, note: str = "") -> None:
    """Show a bar for each stage where IPython runs in a notebook; elsewhere report nothing."""
    python = sys.modules.get("IPython")
    if python is None or not hasattr(python.get_ipython(), "kernel"):
        return
    bar, told = _bars.get(stage, (None, 0.0))
    if bar is not None and done != total and time.monotonic() - told < SELDOM:
        return
    of = "" if total is None else f"/{total:,}"
    text = f"{stage}: {note}" if stage == EXPECTED else f"{stage}: {done:,}{of}  {note}".rstrip()
    length = "" if total is None else f' value="{done}" max="{total}"'
    html = f"<progress{length}></progress> {escape(text)}"
    shown = {"text/plain": text, "text/html": html}
    if bar is None:
        bar = python.display.display(shown, raw=True, display_id=True)
    else:
        bar.update(shown, raw=True)
    _bars[stage] = bar, time.monotonic()
    if done == total:
        del _bars[stage]
