"""The steps of a swap: in which order they may come, and what each refuses.

Every step first does its work, which may be done twice, and then enters itself in the state
file. Killed in between, it is done again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from encoders.base.progress import Progress, silent
from encoders.base.storage import sync_file
from eval.comparison.compare import Changes, compare_reports
from rocosearch.swap.state import STAGES, Stage, SwapError, SwapState, working

__all__ = ["Backfilled", "Mover", "Swap"]


@dataclass(frozen=True)
class Backfilled:
    """What a backfill found at its end: documents with a vector of the new encoder, and all."""

    with_vector: int
    documents: int


class Mover(Protocol):
    """How the steps are done on one kind of target; each may be done twice."""

    def add(self, progress: Progress) -> None:
        """Put the new encoder beside the old one."""

    def backfill(self, progress: Progress) -> Backfilled:
        """Bring the new encoder's vectors to every document that has an image."""

    def reports(self, progress: Progress) -> tuple[Path, Path]:
        """Evaluate old and new; return the folders of the two reports."""

    def switch(self, progress: Progress) -> None:
        """Make the new encoder the one that is used."""

    def switch_back(self, progress: Progress) -> None:
        """Make the old encoder the one that is used."""

    def drop_new(self, progress: Progress) -> None:
        """Take the new encoder away again."""

    def drop_old(self, progress: Progress) -> None:
        """Take the old encoder away."""

    def clear(self) -> None:
        """Remove what lies outside the swap's folder, now that the swap is over."""


class Swap:
    """A swap under way. Make one with `start_on_index`, `start_on_vespa` or `open_swap`."""

    def __init__(self, folder: Path, mover: Mover) -> None:
        self.folder = folder
        self._mover = mover

    @property
    def state(self) -> SwapState:
        """What has been done."""
        return SwapState.load(self.folder)

    def start(self, progress: Progress = silent) -> None:
        """Put the new encoder's field and profiles beside the old ones; nothing else changes."""
        with working(self.folder):
            if self.state.stage == "starting":
                self._mover.add(progress)
                self._enter("started")

    def backfill(self, progress: Progress = silent) -> Backfilled:
        """Bring the new encoder's vectors to every document; goes on where it was stopped.

        Raises SwapError where documents are left without one.
        """
        with working(self.folder):
            self._allow("started", "backfilled", "shadowed")
            for report in self.folder.glob("report-*"):  # of what was there before
                shutil.rmtree(report)
            found = self._mover.backfill(progress)
            if self.state.stage == "started":
                self._enter("backfilled")
            return found

    def shadow(self, progress: Progress = silent) -> Changes:
        """Evaluate old against new on the same queries; return the paired comparison.

        The users of the search see nothing of it.
        """
        with working(self.folder):
            self._allow("backfilled", "shadowed")
            changes = compare_reports(*self._mover.reports(progress))
            self._enter("shadowed", passed=changes.passed)
            return changes

    def switch(self, progress: Progress = silent, *, force: bool = False) -> None:
        """Make the new encoder the default.

        force: also where the shadow evaluation found it worse, or was left out.
        Raises SwapError without `force` then.
        """
        with working(self.folder):
            self._allow("backfilled", "shadowed", "switched")
            state = self.state
            if state.stage == "backfilled" and not force:
                raise SwapError(
                    "Old and new have not been compared yet: run `rocosearch swap shadow`, or "
                    "switch with --force."
                )
            if state.passed is False and not force:
                raise SwapError(
                    "The new encoder is significantly worse on the same queries (see the reports "
                    f"in {self.folder}): switch with --force if you want it all the same."
                )
            self._mover.switch(progress)
            self._enter("switched")

    def rollback(self, progress: Progress = silent) -> None:
        """Go one step back: after `switch` to the old encoder, before it to how it was."""
        with working(self.folder):
            if self.state.stage == "switched":
                self._mover.switch_back(progress)
                self._enter("shadowed" if self.state.passed is not None else "backfilled")
                return
            self._mover.drop_new(progress)
            self._end()

    def finish(self, progress: Progress = silent) -> None:
        """Take the old encoder away; there is no way back after it."""
        with working(self.folder):
            self._allow("switched")
            self._mover.drop_old(progress)
            self._end()

    def _end(self) -> None:
        """Remove the swap's folder: out of its place in one step, then file by file."""
        gone = self.folder.with_name(f".{self.folder.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        self.folder.rename(gone)
        sync_file(gone.parent)
        self._mover.clear()
        shutil.rmtree(gone)

    def _enter(self, stage: Stage, *, passed: bool | None = None) -> None:
        state = self.state
        verdict = state.passed if passed is None else passed
        replace(state, stage=stage, passed=verdict).save(self.folder)

    def _allow(self, *stages: Stage) -> None:
        stage = self.state.stage
        if stage in stages:
            return
        done = STAGES.index(stage) > max(map(STAGES.index, stages))
        if done:
            raise SwapError(f"This swap is {stage} already: roll back first.")
        steps = {"starting": "start", "started": "backfill", "backfilled": "shadow"}
        raise SwapError(
            f"This swap is only {stage}: next comes `rocosearch swap {steps.get(stage, 'switch')}`."
        )
