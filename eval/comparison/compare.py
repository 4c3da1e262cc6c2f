"""Compare two reports query by query, with tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from encoders.base.errors import readable
from eval.collection.clusters import Clusters
from eval.collection.runs import EvaluationError
from eval.comparison.comparable import refuse_others
from eval.measure.bootstrap import LEVEL, bootstrap
from eval.measure.metrics import HEADLINE
from eval.measure.significance import (
    ALPHA,
    holm,
    minimum_detectable_difference,
    paired_randomisation,
)
from eval.report.report import PER_QUERY
from eval.search.rank_bm25 import BASELINE

__all__ = ["Change", "Changes", "compare_reports"]

_KEY = ["protocol", "profile", "query"]


@dataclass(frozen=True)
class Change:
    """One protocol and profile in both reports: second minus first, over the same queries.

    low, high: 95 %; low_adjusted: the lower end that holds for all changed figures together, one
    sided. p, p_holm: paired randomisation, two sided, and corrected over the figures that changed.
    p_fell: the same, one sided, for a fall: what a gate looks at. only_first: queries that the
    second report lacks.
    """

    protocol: str
    profile: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    low_adjusted: float
    p: float
    p_holm: float
    p_fell: float
    wins: int
    ties: int
    losses: int
    detectable: float | None
    queries: int
    only_first: int

    @property
    def changed(self) -> bool:
        """Whether any query has another value."""
        return bool(self.wins or self.losses)

    @property
    def fell(self) -> bool:
        """Whether the second report is worse by more than noise."""
        return self.changed and self.difference < 0 and self.p_fell < ALPHA


@dataclass(frozen=True)
class Changes:
    """All changes between two reports.

    missing: rankings that the second report lacks, which closes the gate; added: those that only
    it has. margin: a loss up to which the second report still passes, None to ask only for falls.
    """

    rows: Sequence[Change]
    missing: Sequence[str]
    added: Sequence[str] = ()
    margin: float | None = None

    @property
    def passed(self) -> bool:
        """False where a figure fell, is missing, or is not shown to be within the margin."""
        whole = not self.missing and not any(row.only_first for row in self.rows)
        return whole and not any(row.fell for row in self.rows) and not self.untold

    @property
    def untold(self) -> Sequence[Change]:
        """Figures that did not fall, but are not shown to be within the margin either."""
        if self.margin is None:
            return []
        return [
            row
            for row in self.rows
            if row.changed and not row.fell and row.low_adjusted <= -self.margin
        ]

    def metrics(self) -> dict[str, object]:
        """As JSON values."""
        rows = [{**asdict(row), "fell": row.fell} for row in self.rows]
        return {
            "passed": self.passed,
            "margin": self.margin,
            "rows": rows,
            "missing": list(self.missing),
            "added": list(self.added),
        }

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
        return [
            *(f"missing in the second, {line}" for line in _by_protocol(self.missing)),
            *(f"only in the second, {line}" for line in _by_protocol(self.added)),
        ]

    @property
    def changed(self) -> Sequence[Change]:
        """Those in which any query has another value."""
        return [row for row in self.rows if row.changed]

    def verdict(self) -> str:
        """The outcome in a few sentences."""
        return " ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        fell = [row for row in self.rows if row.fell]
        if fell:
            yield f"Fell by more than noise: {', '.join(map(_named, fell))}."
        if self.missing:
            yield f"Missing in the second report: {', '.join(self.missing)}."
        short = [row for row in self.rows if row.only_first]
        if short:
            yield f"Queries are missing in the second report: {', '.join(map(_named, short))}."
        for row in self.untold:
            yield (
                f"The data cannot show that {_named(row)} lost less than {self.margin:g}: it may "
                f"have lost {max(-row.low_adjusted, 0):.3f}, and these queries could show a "
                f"difference of {row.detectable or 1:.3f}."
            )
        if not fell:
            rose = sum(row.difference > 0 and row.p_holm < ALPHA for row in self.changed)
            same = len(self.rows) - len(self.changed)
            yield (
                f"Nothing fell by more than noise: {rose} of {len(self.rows):,} figures rose, "
                f"{same:,} did not change."
            )


def compare_reports(
    first: Path,
    second: Path,
    metrics: Sequence[str] = (HEADLINE,),
    *,
    margin: float | None = None,
    seed: int = 0,
) -> Changes:
    """Compare two report folders query by query.

    margin: a loss that is still accepted; each changed figure must then be shown to have lost
    less. Raises EvaluationError if a folder is no report, a metric is in neither, the two
    asked or searched other things, or have no ranking in common.
    """
    old, new = _load(first), _load(second)
    refuse_others(first, second)
    unknown = [name for name in metrics if name not in old]
    if unknown:
        known = ", ".join(old.select_dtypes("float").columns)
        raise EvaluationError(
            f"{first} does not have {', '.join(map(repr, unknown))}; its metrics are {known}."
        )
    lacking = [name for name in metrics if name not in new]
    pairs = [{tuple(x) for x in t[["protocol", "profile"]].to_numpy()} for t in (old, new)]
    shared = old.merge(new, on=_KEY, suffixes=("_first", "_second"))
    if shared.empty or set(shared["profile"]) <= {BASELINE}:
        raise EvaluationError(
            f"{first} and {second} have no rank profile in common, so nothing can be compared."
        )
    kept = [name for name in metrics if name not in lacking]
    parts = [
        (str(protocol), str(profile), part)
        for (protocol, profile), part in shared.groupby(["protocol", "profile"], sort=False)
    ]
    # So many that the smallest p can still be small when it is corrected for all of them.
    resamples = max(10_000, 100 * len(parts) * max(len(kept), 1))
    rows = [
        _change(part, (protocol, profile, metric), old, seed, resamples)
        for protocol, profile, part in parts
        for metric in kept
    ]
    return Changes(
        rows=_corrected(rows, parts, seed),
        missing=[
            *(f"{profile} on {protocol}" for protocol, profile in sorted(pairs[0] - pairs[1])),
            *lacking,
        ],
        added=[f"{profile} on {protocol}" for protocol, profile in sorted(pairs[1] - pairs[0])],
        margin=margin,
    )


def _corrected(
    rows: Sequence[Change],
    parts: Sequence[tuple[str, str, pd.DataFrame]],
    seed: int,
) -> list[Change]:
    """With p corrected over the figures that changed: those that did not are no comparison."""
    changed = [row for row in rows if row.changed]
    both = holm(np.array([row.p for row in changed]))
    fell = holm(np.array([row.p_fell for row in changed]))
    found = {id(row): (float(a), float(b)) for row, a, b in zip(changed, both, fell, strict=True)}
    tables = {(protocol, profile): part for protocol, profile, part in parts}
    level = 1 - 2 * (1 - LEVEL) / max(len(changed), 1)
    corrected = []
    for row in rows:
        if id(row) in found:
            p, p_fell = found[id(row)]
            part = tables[row.protocol, row.profile]
            low, _ = _resampled(part, row.metric, seed, level)
            row = replace(row, p_holm=p, p_fell=p_fell, low_adjusted=low)  # noqa: PLW2901
        corrected.append(row)
    return corrected


def _change(
    part: pd.DataFrame, names: tuple[str, str, str], old: pd.DataFrame, seed: int, resamples: int
) -> Change:
    protocol, profile, metric = names
    before = part[f"{metric}_first"].to_numpy(np.float64)
    after = part[f"{metric}_second"].to_numpy(np.float64)
    differences = after - before
    clusters = _clusters(part)
    column = differences[:, None]
    low, high = _resampled(part, metric, seed, LEVEL)
    whole = int(((old["protocol"] == protocol) & (old["profile"] == profile)).sum())
    return Change(
        protocol=protocol,
        profile=profile,
        metric=metric,
        first=float(before.mean()),
        second=float(after.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        low_adjusted=low,
        p=paired_randomisation(column, clusters, resamples=resamples, seed=seed).item(),
        p_holm=1.0,
        p_fell=paired_randomisation(
            column, clusters, resamples=resamples, seed=seed, alternative="less"
        ).item(),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        detectable=minimum_detectable_difference(differences, clusters),
        queries=len(part),
        only_first=whole - len(part),
    )


def _resampled(part: pd.DataFrame, metric: str, seed: int, level: float) -> tuple[float, float]:
    differences = (part[f"{metric}_second"] - part[f"{metric}_first"]).to_numpy(np.float64)
    found = bootstrap(differences[:, None], _clusters(part), seed=seed)
    low, high = found.interval(level=level, lowest=-1.0)
    return float(low[0]), float(high[0])


def _clusters(part: pd.DataFrame) -> Clusters:
    return Clusters.connect([[str(number)] for number in part["cluster_first"]])


def _named(row: Change) -> str:
    return f"{row.profile} on {row.protocol} ({row.metric} {row.first:.3f} to {row.second:.3f})"


def _by_protocol(pairs: Sequence[str]) -> list[str]:
    by_protocol: dict[str, list[str]] = {}
    for pair in pairs:
        profile, _, protocol = pair.partition(" on ")
        by_protocol.setdefault(protocol or "every protocol", []).append(profile)
    return [f"{name}: {', '.join(profiles)}" for name, profiles in by_protocol.items()]


def _load(folder: Path) -> pd.DataFrame:
    path = folder / PER_QUERY
    try:
        with readable(path, EvaluationError):
            return pd.read_parquet(path)
    except (OSError, ValueError):
        raise EvaluationError(
            f"{folder} is not a report: its {PER_QUERY} cannot be read. "
            "Name a folder written by `rocosearch eval`."
        ) from None


def _verdict(row: Change) -> str:
    if row.fell:
        return "fell"
    return "rose" if row.difference > 0 and row.p_holm < ALPHA else "not shown"
