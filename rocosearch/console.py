"""What a person sees while work goes on and when it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bars,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from encoders.base.printable import printable as visible
from encoders.base.progress import Progress

__all__ = [
    "PlainLines",
    "messages",
    "progress_bars",
    "results",
    "say",
    "show",
    "show_json",
    "tell",
    "visible",
]


class _PlainConsole(Console):
    """Text is never markup: ids, captions, paths and messages are others' text.

    Of what is not a Text of our own, hidden characters are shown; lines may end.
    """

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as rich declares it
        """Make a Text of a string, in a table's cell too."""
        lines = text.split("\n")
        return super().render_str("\n".join(map(visible, lines)), **options)


results = _PlainConsole(soft_wrap=True, highlight=False, markup=False, emoji=False)
messages = _PlainConsole(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(text: str, style: str | None = None) -> None:
    """Print a line for the person at the terminal, on stderr; `text` may hold what others wrote."""
    messages.print(visible(text), style=style)


def tell(text: str) -> None:
    """Print a line of the result on stdout; `text` may hold what others wrote."""
    results.print(visible(text))


def show(content: RenderableType, *, wrap: bool = False) -> None:
    """Print what is laid out in columns; where no terminal is, no line ends in spaces.

    wrap: break long lines at the width of the terminal.
    """
    if results.is_terminal:
        results.print(content, soft_wrap=not wrap)
        return
    with results.capture() as captured:
        results.print(content, soft_wrap=not wrap)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def show_json(content: Mapping[str, object]) -> None:
    """Print what a program reads: one JSON object on stdout, nothing else."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Yield a `Progress`: bars on a terminal, a line now and then elsewhere."""
    if not messages.is_terminal:
        yield PlainLines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=messages) as bars:
        yield _BarForEachStage(bars)


class _BarForEachStage:
    """One bar for each stage, in the order in which they begin."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)


class PlainLines:
    """Lines for a log: the end of each stage, and one every `seconds` in between."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Report as `encoders.base.progress.Progress` says."""
        now = time.monotonic()
        last = self._last.setdefault(stage, now)
        if done != total and now - last < self._seconds:
            return
        self._last[stage] = now
        count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        say(f"{stage}: {count}{'  ' + note if note else ''}")
