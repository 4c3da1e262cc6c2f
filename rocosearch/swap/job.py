"""The order of the steps, and what each refuses.

Every step is idempotent, and records its completion in the state file. After a kill in between,
it is run again.
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
    """Result of a backfill: number of documents with a vector of the new encoder, and of all."""

    with_vector: int
    documents: int


class Mover(Protocol):
    """Implementation of the steps on one kind of target; all are idempotent."""

    def add(self, progress: Progress) -> None:
        """Add the new encoder beside the old one."""

    def backfill(self, progress: Progress) -> Backfilled:
        """Add the new encoder's vectors to every document with an image."""

    def reports(self, progress: Progress) -> tuple[Path, Path]:
        """Evaluate both encoders; return the folders of the two reports."""

    def switch(self, progress: Progress) -> None:
        """Make the new encoder the current one."""

    def switch_back(self, progress: Progress) -> None:
        """Make the old encoder the current one."""

    def drop_new(self, progress: Progress) -> None:
        """Remove the new encoder."""

    def drop_old(self, progress: Progress) -> None:
        """Remove the old encoder."""

    def clear(self) -> None:
        """Remove files outside the swap's folder at the end of the swap."""


class Swap:
    """A swap in progress. Create one with `start_on_index`, `start_on_vespa` or `open_swap`."""

    def __init__(self, folder: Path, mover: Mover) -> None:
        self.folder = folder
        self._mover = mover

    @property
    def state(self) -> SwapState:
        """The completed steps."""
        return SwapState.load(self.folder)

    def start(self, progress: Progress = silent) -> None:
        """Add a field and profiles for the new encoder; nothing else changes."""
        with working(self.folder):
            if self.state.stage == "starting":
                self._mover.add(progress)
                self._enter("started")

    def backfill(self, progress: Progress = silent) -> Backfilled:
        """Add the new encoder's vectors to every document; resumes after a kill.

        Raises SwapError if documents remain without a vector.
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
        """Evaluate both encoders on the same queries; return the paired comparison.

        Users of the search do not notice this.
        """
        with working(self.folder):
            self._allow("backfilled", "shadowed")
            changes = compare_reports(*self._mover.reports(progress))
            self._enter("shadowed", passed=changes.passed)
            return changes

    def switch(self, progress: Progress = silent, *, force: bool = False) -> None:
        """Make the new encoder the default.

        force: even if the shadow evaluation found it worse, or was not run; otherwise these cases
        raise SwapError.
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
                    f"in {self.folder}): to switch anyway, use --force."
                )
            self._mover.switch(progress)
            self._enter("switched")

    def rollback(self, progress: Progress = silent) -> None:
        """Go one step back: after `switch` to the old encoder, before it to the initial state."""
        with working(self.folder):
            if self.state.stage == "switched":
                self._mover.switch_back(progress)
                self._enter("shadowed" if self.state.passed is not None else "backfilled")
                return
            self._mover.drop_new(progress)
            self._end()

    def finish(self, progress: Progress = silent) -> None:
        """Remove the old encoder; this cannot be undone."""
        with working(self.folder):
            self._allow("switched")
            self._mover.drop_old(progress)
            self._end()

    def _end(self) -> None:
        """Remove the swap's folder: rename it, then delete its files."""
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
            f"This swap is only {stage}: the next step is `rocosearch swap "
            f"{steps.get(stage, 'switch')}`."
        )
