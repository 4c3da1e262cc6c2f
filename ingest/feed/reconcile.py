"""The ledger against the target itself: by visiting the ids that the target really holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ingest.corpus.corpus import Corpus
from ingest.feed.feed import held_hashes, ledger_path
from ingest.feed.ledger import SLICE, Known, Ledger
from ingest.feed.targets import Target

__all__ = ["Reconciliation", "reconcile"]


@dataclass(frozen=True)
class Reconciliation:
    """What was found.

    visited: documents of the target. lost: ids that the ledger had and the target has not; the
    ledger has forgotten them, so that the next feed puts them. unknown: ids of the target that
    no feed of this corpus put there; they are left alone. changed: what the target holds of these
    ids is something else than was fed; they are forgotten too.
    """

    visited: int
    lost: tuple[str, ...]
    unknown: tuple[str, ...]
    changed: tuple[str, ...] = ()


def reconcile(corpus: Corpus, target: Target, *, ledger: Path | None = None) -> Reconciliation:
    """Correct the ledger of `corpus` and `target` by what the target holds.

    After a server was restored, emptied or fed by others. Ids go through a table on disk; contents
    are compared where they are cheap to read (`Target.held`), a server's are not.
    """
    path = ledger or ledger_path(corpus, target)
    with Ledger(path, target.name, target.content) as opened:
        visited = opened.note(target.ids())
        lost = opened.held_not_noted()
        unknown = opened.noted_only()
        opened.forget(lost)
        changed = _changed(opened, target)
        opened.forget(changed)
    return Reconciliation(visited, tuple(lost), tuple(unknown), tuple(changed))


def _changed(ledger: Ledger, target: Target) -> list[str]:
    """Ids whose content differs, or a vector that the target stores as it came."""
    stored = {each.fingerprint for each in target.vector_fields if each.cell_type == "float"}
    held = held_hashes(target)
    changed = []
    while some := {i: Known(content, vectors) for i, content, vectors in islice(held, SLICE)}:
        known = ledger.known(list(some))
        changed += [each for each in known if _differ(known[each], some[each], stored)]
    return changed


def _differ(one: Known, other: Known, stored: Collection[str]) -> bool:
    return one.content != other.content or any(
        one.vectors.get(each) != other.vectors.get(each) for each in stored
    )
