"""Whether two reports may be compared: both must have searched the same documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from encoders.base.storage import put_back
from eval.report.report import METRICS
from eval.search.runs import EvaluationError

__all__ = ["refuse_other_pools"]

# What a figure depends on beside the ranking: part of `provenance` and its entry, in words.
_SEARCHED = {
    ("pool", "split"): "the split that asks",
    ("pool", "scope"): "the pool (--pool)",
    ("pool", "documents"): "how many documents are searched",
    ("corpus", "content_sha256"): "the corpus (its content_sha256)",
}


def refuse_other_pools(first: Path, second: Path) -> None:
    """Raise EvaluationError where the two report folders searched other documents, or are none.

    A figure says nothing without its pool, so from one pool to another it cannot rise or fall.
    """
    old, new = _provenance(first), _provenance(second)
    differing = [
        f"{told} ({old[part][name]}, {new[part][name]})"
        for (part, name), told in _SEARCHED.items()
        if old[part][name] != new[part][name]
    ]
    if differing:
        raise EvaluationError(
            f"{first} and {second} cannot be compared, for they differ in {', '.join(differing)}. "
            "Evaluate both on the same corpus, with the same --split and --pool."
        )


def _provenance(folder: Path) -> Mapping[str, Mapping[str, object]]:
    put_back(folder)
    path = folder / METRICS
    try:
        found = json.loads(path.read_text("utf-8"))["provenance"]
        return {
            part: {n: found[part][n] for p, n in _SEARCHED if p == part} for part, _ in _SEARCHED
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{folder} is not a report: {METRICS} does not tell what was searched ({error!r}). "
            "Name a folder written by `rocosearch eval`."
        ) from None
