"""How long work tells what it has done, without knowing who watches."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called after each step of long work."""

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Report `done` of `total` steps of `stage` (total None: not known), and a short note."""


def silent(stage: str, done: int, total: int | None, note: str = "") -> None:
    """Report nothing."""
