"""What a person sees while work goes on and when it is done."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console, RenderableType

from encoders.base.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars, TaskID

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

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories that a terminal does not show

results = Console(soft_wrap=True, highlight=False)
messages = Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str, style: str | None = None) -> None:
    """Print a line for the person at the terminal, on stderr; `text` is not markup."""
    messages.print(text, style=style, markup=False)


def tell(text: str) -> None:
    """Print a line of the result on stdout; `text` may hold what others wrote, and is no markup."""
    results.print(visible(text), markup=False)


def visible(text: str) -> str:
    """The text with control characters, line ends and changes of direction made visible."""
    return "".join(
        char if unicodedata.category(char) not in HIDDEN else f"\\u{ord(char):04x}" for char in text
    )


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
    # Not at the top: a search shows no bars, and need not wait for them.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress as Bars,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
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
