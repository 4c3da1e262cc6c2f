"""Two reports side by side: what rose, what fell, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from eval.comparison.comparable import refuse_other_pools
from eval.measure.baseline import BASELINE
from eval.measure.metrics import HEADLINE
from eval.measure.significance import (
    bootstrap_means,
    cluster_numbers,
    holm,
    interval,
    minimum_detectable_difference,
    paired_randomisation,
)
from eval.report.report import PER_QUERY
from eval.search.runs import EvaluationError

__all__ = ["Change", "Changes", "compare_reports"]

ALPHA = 0.05
_KEY = ["protocol", "profile", "query"]


@dataclass(frozen=True)
class Change:
    """One protocol and profile in both reports: second minus first, over the same queries.

    p: paired randomisation; p_holm: corrected over all changes. only_first, only_second:
    queries that the other report lacks, left out here.
    """

    protocol: str
    profile: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    wins: int
    ties: int
    losses: int
    detectable: float | None
    queries: int
    only_first: int
    only_second: int

    @property
    def fell(self) -> bool:
        """Whether the second report is worse by more than noise."""
        return self.difference < 0 and self.p_holm < ALPHA


@dataclass(frozen=True)
class Changes:
    """All changes between two reports; `missing` are pairs that only one report has."""

    rows: Sequence[Change]
    missing: Sequence[str]

    @property
    def passed(self) -> bool:
        """False where any figure fell significantly: what a gate looks at."""
        return not any(row.fell for row in self.rows)

    def metrics(self) -> dict[str, object]:
        """As JSON values."""
        rows = [{**asdict(row), "fell": row.fell} for row in self.rows]
        return {"passed": self.passed, "rows": rows, "missing": list(self.missing)}

    def table(self) -> Table:
        """What changed, for people, in 80 columns; figures that stayed the same are left out."""
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold underline")
        for name in ("protocol", "profile", "metric", "first", "second", "change", "p (Holm)", ""):
            left = name in {"protocol", "profile", "metric"}
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for row in self.changed:
            table.add_row(
                row.protocol,
                row.profile,
                row.metric,
                f"{row.first:.3f}",
                f"{row.second:.3f}",
                f"{row.difference:+.3f}\n{row.low:+.2f} {row.high:+.2f}",
                f"{row.p_holm:.4f}",
                _verdict(row),
            )
        return table

    def missing_lines(self) -> list[str]:
        """What only one report has, for people: a line for each protocol."""
        by_protocol: dict[str, list[str]] = {}
        for pair in self.missing:
            profile, _, protocol = pair.partition(" on ")
            by_protocol.setdefault(protocol, []).append(profile)
        return [f"{name}: {', '.join(profiles)}" for name, profiles in by_protocol.items()]

    @property
    def changed(self) -> Sequence[Change]:
        """Those in which any query has another value."""
        return [row for row in self.rows if row.wins or row.losses]

    def verdict(self) -> str:
        """The outcome in a sentence."""
        fell = [row for row in self.rows if row.fell]
        if fell:
            named = ", ".join(
                f"{row.profile} on {row.protocol} "
                f"({row.metric} {row.first:.3f} to {row.second:.3f})"
                for row in fell
            )
            return f"Fell by more than noise: {named}."
        same = len(self.rows) - len(self.changed)
        return (
            f"Nothing fell by more than noise: of {len(self.rows)} figures {same} are the same, "
            f"{sum(row.difference > 0 and row.p_holm < ALPHA for row in self.rows)} rose."
        )


def compare_reports(
    first: Path, second: Path, metrics: Sequence[str] = (HEADLINE,), *, seed: int = 0
) -> Changes:
    """Compare two report folders on the queries they share.

    Raises EvaluationError where a folder is no report, a metric is in neither, the two searched
    other documents, or have no query in common.
    """
    old, new = _load(first), _load(second)
    refuse_other_pools(first, second)
    absent = [name for name in metrics if name not in old or name not in new]
    if absent:
        raise EvaluationError(f"The reports do not both have {', '.join(map(repr, absent))}.")
    shared = old.merge(new, on=_KEY, suffixes=("_first", "_second"))
    if shared.empty:
        raise EvaluationError(f"{first} and {second} have no query in common.")
    if set(shared["profile"]) <= {BASELINE}:
        raise EvaluationError(
            f"{first} and {second} have no rank profile in common, so nothing can be compared."
        )
    parts = list(shared.groupby(["protocol", "profile"], sort=False))
    # So many that the smallest p can still be small when it is corrected for all of them.
    resamples = max(10_000, 100 * len(parts) * len(metrics))
    rows = [
        _change(part, (str(protocol), str(profile), metric), (old, new), seed, resamples)
        for (protocol, profile), part in parts
        for metric in metrics
    ]
    corrected = holm(np.array([row.p for row in rows]))
    pairs = [{tuple(x) for x in t[["protocol", "profile"]].to_numpy()} for t in (old, new)]
    return Changes(
        rows=[
            Change(**{**asdict(row), "p_holm": float(p)})
            for row, p in zip(rows, corrected, strict=True)
        ],
        missing=[f"{profile} on {protocol}" for protocol, profile in sorted(pairs[0] ^ pairs[1])],
    )


def _change(
    part: pd.DataFrame,
    names: tuple[str, str, str],
    reports: tuple[pd.DataFrame, pd.DataFrame],
    seed: int,
    resamples: int,
) -> Change:
    protocol, profile, metric = names
    before = part[f"{metric}_first"].to_numpy(np.float64)
    after = part[f"{metric}_second"].to_numpy(np.float64)
    differences = after - before
    clusters = cluster_numbers(part["group_first"].tolist())
    column = differences[:, None]
    low, high = interval(bootstrap_means(column, clusters=clusters, seed=seed))
    p = paired_randomisation(column, clusters=clusters, resamples=resamples, seed=seed).item()
    alone = [
        int(((t["protocol"] == protocol) & (t["profile"] == profile)).sum()) - len(part)
        for t in reports
    ]
    return Change(
        protocol=protocol,
        profile=profile,
        metric=metric,
        first=float(before.mean()),
        second=float(after.mean()),
        difference=float(differences.mean()),
        low=float(low[0]),
        high=float(high[0]),
        p=p,
        p_holm=p,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        detectable=minimum_detectable_difference(differences, clusters=clusters),
        queries=len(part),
        only_first=alone[0],
        only_second=alone[1],
    )


def _load(folder: Path) -> pd.DataFrame:
    path = folder / PER_QUERY
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{folder} is not a report: {PER_QUERY} cannot be read ({error}). "
            "Name a folder written by `rocosearch eval`."
        ) from None


def _verdict(row: Change) -> str:
    if row.p_holm >= ALPHA:
        return "not shown"
    return "fell" if row.difference < 0 else "rose"
