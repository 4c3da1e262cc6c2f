"""The steps of a swap on a local index.

The new index is built beside the old one, under a hidden name. Switching exchanges the two by
renames, so the old one is kept until `finish`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.base.storage import exchange, put_back
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Document
from rocosearch.swap.candidate import (
    backfill_index,
    build_candidate,
    check_encoders,
    evaluate_index,
)
from rocosearch.swap.job import Backfilled, Swap
from rocosearch.swap.state import FILE_NAME, SwapError, SwapState, new_state

__all__ = ["IndexMover", "start_on_index"]


def start_on_index(
    index: Path,
    corpus: Path,
    encoder: Path,
    *,
    folder: Path | None = None,
    progress: Progress = silent,
) -> Swap:
    """Start to replace the encoder of `index` by the one in the folder `encoder`.

    folder: working folder of the swap, by default INDEX.swap beside the index. A swap that was
    started with the same encoder is resumed. Raises SwapError if another swap is in progress.
    """
    place = folder or index.with_name(f"{index.name}.swap")
    if (place / FILE_NAME).exists():
        state = SwapState.load(place)
    else:
        state = new_state(check_encoders(index, encoder), index, corpus, encoder)
        state = replace(state, index_id=EmbeddedEngine.open(index).index_id)
        IndexMover(place, state).clear()  # of a swap whose end was interrupted
        state.save(place)
    if Path(state.encoder) != encoder.resolve() or Path(state.index) != index.resolve():
        raise SwapError(
            f"Another swap is in progress in {place}, to the encoder {state.encoder}: finish it "
            "or roll it back first."
        )
    swap = Swap(place, IndexMover(place, state))
    swap.start(progress)
    return swap


class IndexMover:
    """The steps on an index; see `rocosearch.swap.job.Mover`."""

    def __init__(self, folder: Path, state: SwapState) -> None:
        self._folder = folder
        self._state = state
        self._index = Path(state.index)
        # In one folder with the index, for `exchange`.
        self._new = self._index.with_name(f".{self._index.name}.beside.{folder.name}")
        self._old = self._index.with_name(f".{self._index.name}.old.{folder.name}")

    def add(self, progress: Progress) -> None:
        """Build the new index beside the old one, without vectors."""
        build_candidate(self._index, Path(self._state.encoder), self._new, progress)

    def backfill(self, progress: Progress) -> Backfilled:
        """Add the new encoder's vectors to the new index."""
        self._check_in_place()
        corpus = Corpus.open(Path(self._state.corpus))
        return backfill_index(self._new, corpus, Path(self._state.encoder), progress)

    def reports(self, progress: Progress) -> tuple[Path, Path]:
        """Evaluate both indexes on the corpus's held-out queries."""
        self._check_in_place()
        corpus = Path(self._state.corpus)
        old = evaluate_index(self._index, corpus, self._folder / "report-old", progress)
        new = evaluate_index(self._new, corpus, self._folder / "report-new", progress)
        return old, new

    def switch(self, progress: Progress) -> None:
        """Exchange the two; raises SwapError if the index has changed since `start`."""
        progress("switch", 0, 1)
        put_back(self._index)
        if self._new.exists() and self._index.exists():
            _check_unchanged(self._index, self._new, self._state.index_id)
        if self._new.exists() and not self._old.exists():
            exchange(self._index, take=self._new, keep=self._old)
        progress("switch", 1, 1)

    def switch_back(self, progress: Progress) -> None:
        """Exchange them again."""
        progress("switch back", 0, 1)
        put_back(self._index)
        if self._old.exists() and not self._new.exists():
            exchange(self._index, take=self._old, keep=self._new)
        progress("switch back", 1, 1)

    def drop_new(self, progress: Progress) -> None:
        """Check that the old index is in place; `clear` removes the new one."""
        self.switch_back(progress)

    def drop_old(self, progress: Progress) -> None:
        """Nothing to do: `clear` removes the old index."""

    def clear(self) -> None:
        """Remove the index that is not in use."""
        for folder in (self._new, self._old):
            shutil.rmtree(folder, ignore_errors=True)

    def _check_in_place(self) -> None:
        """Refuse to work if a killed switch has moved only one of the two indexes."""
        if self._old.exists():
            raise SwapError(
                f"A switch of {self._index} was interrupted: run `rocosearch swap switch` again, "
                "or `rocosearch swap rollback`."
            )


def _check_unchanged(index: Path, candidate: Path, index_id: str) -> None:
    """Refuse to lose what was indexed, fed or removed since the candidate was built."""
    old, new = EmbeddedEngine.open(index), EmbeddedEngine.open(candidate)
    if index_id and old.index_id != index_id:
        raise SwapError(
            f"{index} was built again since the swap started: roll back and start again."
        )
    names = set(old.ids()) | set(new.ids())
    different = [name for name in names if _words(old, name) != _words(new, name)]
    if different:
        raise SwapError(
            f"{index} has changed since the swap started ({len(different)} documents, such as "
            f"{min(different)}): roll back and start again."
        )


def _words(engine: EmbeddedEngine, identifier: str) -> Document | None:
    """A document without its vectors, which are another encoder's."""
    found = engine.get(identifier)
    return replace(found, vectors={}, labelled={}) if found else None
