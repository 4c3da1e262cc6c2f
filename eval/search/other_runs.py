"""Runs of other systems on the same topics.

A run file belongs to the protocol that its name begins with, as in `split-caption.theirs.trec`;
any name will do where one protocol alone is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.collection.runs import NOTHING, EvaluationError, Run
from eval.collection.trec import read_run
from eval.protocols.tasks import Task

__all__ = ["OtherRun", "read_other_runs"]


@dataclass(frozen=True)
class OtherRun:
    """A system's name and run; notes: what was left out of the file."""

    name: str
    run: Run
    notes: tuple[str, ...] = ()


def read_other_runs(
    paths: Sequence[Path], tasks: Sequence[Task], depth: int, taken: Sequence[str]
) -> Mapping[str, list[OtherRun]]:
    """Protocol -> the runs of that protocol. taken: names of our own rankings.

    Raises EvaluationError if a file fits no protocol, or ranks what is not searched.
    """
    found: dict[str, list[OtherRun]] = {}
    for path in paths:
        task, name = _belongs(path, tasks)
        others = [other.name for other in found.get(task.protocol, [])]
        if name in {*taken, *others}:
            name = f"{name} ({path.name})"
        found.setdefault(task.protocol, []).append(_read(path, task, name, depth))
    return found


def _belongs(path: Path, tasks: Sequence[Task]) -> tuple[Task, str]:
    stem = path.name.removesuffix(".trec").removesuffix(".run")
    by_name = {task.protocol: task for task in tasks}
    for protocol in sorted(by_name, key=len, reverse=True):
        if stem.startswith(f"{protocol}."):
            return by_name[protocol], stem.removeprefix(f"{protocol}.")
    if len(tasks) == 1:
        return tasks[0], stem
    raise EvaluationError(
        f"{path} names no protocol. Rename it to PROTOCOL.NAME.trec with one of "
        f"{', '.join(by_name)}, or evaluate one protocol alone (--protocol)."
    )


def _read(path: Path, task: Task, name: str, depth: int) -> OtherRun:
    documents = task.qrels.documents
    scored = read_run(path, (*task.qrels.queries, *documents))
    unknown = sorted(scored.keys() - set(task.qrels.queries))
    if len(unknown) == len(scored):
        raise EvaluationError(
            f"{path} answers no query of {task.protocol}: its query ids are others "
            f"({', '.join(map(repr, unknown[:3])) or 'it is empty'})."
        )
    searched = set(documents)
    stranger = next((d for row in scored.values() for d in row if d not in searched), None)
    if stranger is not None:
        raise EvaluationError(
            f"{path} ranks document {stranger!r}, which is not among the {len(documents):,} "
            "searched (runs/documents.tsv of a report lists them)."
        )
    run = Run.from_mapping(scored, task.qrels.queries, documents)
    run, removed = _without_excluded(run, task)
    missing = int((run.sizes == 0).sum())
    said = {
        f"{name}: {len(unknown):,} of its queries are not in {task.protocol}.": len(unknown),
        f"{name}: {missing:,} queries of {task.protocol} have no answer and count 0.": missing,
        f"{name}: {removed:,} documents were removed because their query excludes them.": removed,
    }
    run = Run(run.queries, run.documents, run.ranked[:, :depth], run.scores[:, :depth])
    return OtherRun(name, run, tuple(note for note, count in said.items() if count))


def _without_excluded(run: Run, task: Task) -> tuple[Run, int]:
    kept = run.ranked != NOTHING
    for row, topic in enumerate(task.topics):
        if topic.excluded:
            kept[row] &= ~np.isin(run.ranked[row], topic.excluded)
    return run.keep(kept), int((run.ranked != NOTHING).sum() - kept.sum())
