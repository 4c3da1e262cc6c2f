"""Check that two reports used the same queries and pool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encoders.base.errors import readable
from encoders.base.storage import put_back
from eval.collection.runs import EvaluationError
from eval.report.report import METRICS

__all__ = ["refuse_others"]

# What a figure depends on beside the ranking: part of `provenance` and its entry, in words.
_SEARCHED = {
    ("pool", "split"): "the split of the queries",
    ("pool", "scope"): "the pool (--pool)",
    ("pool", "documents"): "the number of searched documents",
    ("corpus", "content_sha256"): "the corpus (its content_sha256)",
}
# Files of `runs/` that define a task, by their ends.
_ASKED = {".topics.tsv": "topics", ".qrels": "judgements", ".excluded.tsv": "excluded documents"}


def refuse_others(first: Path, second: Path) -> None:
    """Raise EvaluationError if the two report folders asked or searched other things.

    A figure says nothing without its pool and its topics, so from one to another it cannot rise
    or fall. Protocols that only one of the reports has are no matter here.
    """
    old, new = _provenance(first), _provenance(second)
    differing = [
        f"{told} ({old[part][name]}, {new[part][name]})"
        for (part, name), told in _SEARCHED.items()
        if old[part][name] != new[part][name]
    ]
    differing += _tasks_that_differ(old["sha256"], new["sha256"])
    if differing:
        raise EvaluationError(
            f"{first} and {second} cannot be compared, because they differ in "
            f"{', '.join(differing)}. Evaluate both on the same corpus, with the same --split, "
            "--pool and --topics."
        )


def _tasks_that_differ(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    shared = _protocols(old) & _protocols(new)
    return [
        f"the {told} of {protocol}"
        for protocol in sorted(shared)
        for end, told in _ASKED.items()
        if old.get(f"{protocol}{end}") != new.get(f"{protocol}{end}")
    ]


def _protocols(hashes: Mapping[str, str]) -> set[str]:
    return {name.removesuffix(".qrels") for name in hashes if name.endswith(".qrels")}


def _provenance(folder: Path) -> Mapping[str, Any]:
    put_back(folder)
    path = folder / METRICS
    try:
        with readable(path, EvaluationError):
            found = json.loads(path.read_text("utf-8"))["provenance"]
        told = {
            part: {n: found[part][n] for p, n in _SEARCHED if p == part} for part, _ in _SEARCHED
        }
        return {**told, "sha256": dict(found["sha256"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise EvaluationError(
            f"{folder} is not a comparable report: its {METRICS} does not describe queries and "
            "pool. Name a folder written by `rocosearch eval` of this version."
        ) from None
