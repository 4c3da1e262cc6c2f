"""Output to the terminal: progress and results."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from encoders.base.printable import printable as visible
from encoders.base.progress import EXPECTED, Progress

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
    "telling_after",
    "training_bars",
    "visible",
]


PIPED = 120  # columns of a table at least, where there is no terminal: no figure is cut


class _PlainConsole(Console):
    """Never interprets text as markup, because ids, captions, paths and messages are untrusted.

    Makes hidden characters visible, except in our own Text objects.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as rich declares them
        as_it_is = {"soft_wrap": True, "highlight": False, "markup": False, "emoji": False}
        super().__init__(**(as_it_is | options))

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as rich declares it
        """Turn a string into a Text, also in table cells."""
        lines = text.split("\n")
        return super().render_str("\n".join(map(visible, lines)), **options)


results = _PlainConsole()
messages = _PlainConsole(stderr=True)


def say(text: str, style: str | None = None) -> None:
    """Print a line on stderr; `text` may be untrusted."""
    messages.print(visible(text), style=style)


def tell(text: str) -> None:
    """Print a line of the result on stdout; `text` may be untrusted."""
    results.print(visible(text))


def show(content: RenderableType, *, wrap: bool = False) -> None:
    """Print a table; without a terminal, lines have no trailing spaces.

    wrap: break long lines at the width of the terminal.
    """
    if results.is_terminal:
        results.print(content, soft_wrap=not wrap)
        return
    width = results.width if wrap else max(results.width, PIPED)
    piped = _PlainConsole(width=width)
    with piped.capture() as captured:
        piped.print(content, soft_wrap=not wrap)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def show_json(content: Mapping[str, object]) -> None:
    """Print one JSON object on stdout, and nothing else; numbers that are not finite are null."""
    typer.echo(json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False))


def finite(value: object) -> object:
    """The value with None for each number that JSON cannot write."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Yield a `Progress`: bars on a terminal, elsewhere regular lines."""
    if not messages.is_terminal:
        lines = PlainLines()
        with lines.watching():
            yield lines
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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=messages) as bars:
        yield _BarForEachStage(bars)


@contextmanager
def training_bars() -> Iterator[Progress]:
    """`progress_bars` of a training, which tells how to continue when it is interrupted."""
    try:
        with progress_bars() as progress:
            yield progress
    except KeyboardInterrupt:
        say(
            "interrupted; run the same command with --resume to continue from the last checkpoint",
            "yellow",
        )
        raise typer.Exit(130) from None


@contextmanager
def telling_after(seconds: float, text: str) -> Iterator[None]:
    """Print what is going on if it takes this long."""
    timer = threading.Timer(seconds, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _BarForEachStage:
    """One bar per stage, in the order of their start."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._loading: TaskID | None = bars.add_task("starting", total=None, note="")

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        if self._loading is not None:
            self._bars.remove_task(self._loading)
            self._loading = None
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)


class PlainLines:
    """Lines for a log: the end of each stage, and a progress line after a long silence.

    patience: seconds of silence before the first line; `seconds`: between later lines. No line is
    repeated: where nothing has changed, the next says for how long, each after twice the silence.
    """

    def __init__(self, seconds: float = 10.0, patience: float = 2.0) -> None:
        self._seconds, self._patience = seconds, patience
        self._lock = threading.Lock()
        self._now: tuple[str, int, int | None, str] = ("starting", 0, None, "")
        self._told = self._changed = time.monotonic()
        self._quiet, self._last = min(seconds, patience), ""
        self._ended = threading.Event()

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Report as `encoders.base.progress.Progress` says."""
        with self._lock:
            if stage == EXPECTED:  # said beforehand of the stage that goes on
                say(f"{stage}: {note}")
                return
            if stage != self._now[0]:
                self._quiet = self._patience
            self._quiet = min(self._quiet, self._seconds)
            self._now, self._changed = (stage, done, total, note), time.monotonic()
            if done == total or time.monotonic() - self._told >= self._quiet:
                self._tell()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Print progress even while a long step reports nothing."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(min(self._patience / 2, 0.5)):
            with self._lock:
                if time.monotonic() - self._told < self._quiet:
                    continue
                stage, done, total, _ = self._now
                if done == total:  # it was told; what comes next has not reported yet
                    self._now = (f"after {stage}", 0, None, "")
                self._tell()

    def _tell(self) -> None:
        stage, done, total, _ = self._now
        self._told = time.monotonic()
        self._quiet = self._patience if done == total else max(self._quiet, self._seconds)
        line = self._line()
        if line == self._last:
            self._quiet *= 2
            say(f"{stage} ... {self._told - self._changed:.0f} s")
            return
        self._last = line
        say(line)

    def _line(self) -> str:
        stage, done, total, note = self._now
        count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        if total == 1:  # one step: its number says nothing
            return f"{stage}: {note or ('done' if done == total else '...')}"
        if total is None and not done:
            return f"{stage} ...{'  ' + note if note else ''}"
        return f"{stage}: {count}{'  ' + note if note else ''}"
