"""The interface by which work reports its progress."""

from __future__ import annotations

from typing import Protocol

__all__ = ["EXPECTED", "Progress", "expect", "silent"]

EXPECTED = "expected"


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
