"""The ledger against the target itself: by visiting the ids that the target really holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ingest.corpus.corpus import Corpus
from ingest.feed.feed import ledger_path
from ingest.feed.ledger import Ledger
from ingest.feed.targets import Target

__all__ = ["Reconciliation", "reconcile"]


@dataclass(frozen=True)
class Reconciliation:
    """What was found.

    visited: documents of the target. lost: ids that the ledger had and the target has not; the
    ledger has forgotten them, so that the next feed puts them. unknown: ids of the target that
    no feed of this corpus put there; they are left alone.
    """

    visited: int
    lost: tuple[str, ...]
    unknown: tuple[str, ...]


def reconcile(corpus: Corpus, target: Target, *, ledger: Path | None = None) -> Reconciliation:
    """Correct the ledger of `corpus` and `target` by what the target holds.

    After a server was restored, emptied or fed by others. Ids go through a table on disk.
    """
    with Ledger(ledger or ledger_path(corpus, target), target.name) as opened:
        visited = opened.note(target.ids())
        lost = opened.held_not_noted()
        unknown = opened.noted_only()
        opened.forget(lost)
    return Reconciliation(visited, tuple(lost), tuple(unknown))
