"""Compare the ledger with the ids that the target really has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ingest.corpus.corpus import Corpus
from ingest.feed.feed import held_hashes, ledger_path
from ingest.feed.ledger import SLICE, Known, Ledger
from ingest.feed.targets import Target

__all__ = ["Reconciliation", "contradiction", "reconcile"]

DRAWN = 20


@dataclass(frozen=True)
class Reconciliation:
    """What was found.

    visited: documents of the target. lost: ids that the ledger had and the target has not; the
    ledger has forgotten them, so that the next feed puts them. unknown: ids of the target that
    no feed of this corpus put there; they are left alone. changed: what the target holds of these
    ids is something else than was fed; they are forgotten too. why: what gave rise to it, "" where
    it was asked for.
    """

    visited: int
    lost: tuple[str, ...]
    unknown: tuple[str, ...]
    changed: tuple[str, ...] = ()
    why: str = ""


def contradiction(corpus: Corpus, target: Target, *, ledger: Path | None = None) -> str:
    """Why the target cannot hold what the ledger says, "" if nothing speaks against it.

    One cheap question: how many documents it has, and whether some drawn by chance are there.
    """
    path = ledger or ledger_path(corpus, target)
    with Ledger(path, target.name, target.content) as opened:
        known, drawn = opened.count(), opened.sample(DRAWN)
    if not known:
        return ""
    count, there = target.probe(drawn)
    if count < known:
        return f"{target.name} has {count:,} documents, and {known:,} were fed to it."
    missing = sorted(set(drawn) - there)
    if missing:
        return f"{target.name} no longer has document {missing[0]!r}, which was fed to it."
    return ""


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
