"""Open a swap in progress."""

from __future__ import annotations

from pathlib import Path

from rocosearch.swap.embedded import IndexMover
from rocosearch.swap.job import Swap
from rocosearch.swap.state import SwapState
from rocosearch.swap.vespa import VespaMover

__all__ = ["open_swap"]


def open_swap(folder: Path) -> Swap:
    """The swap in `folder`. Raises SwapError if there is none."""
    state = SwapState.load(folder)
    mover = VespaMover(folder, state) if state.server else IndexMover(folder, state)
    return Swap(folder, mover)
