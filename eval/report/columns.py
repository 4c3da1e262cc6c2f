"""The columns of a report's tables: rows for metrics.json and CSV, and the console's tables.

A column of the page stands in templates/results.html.j2 (pairs card: pairs.html.j2) besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.table import Table

from eval.measure.bootstrap import ENOUGH
from eval.measure.chance import small_figure
from eval.measure.metrics import HEADLINE
from eval.measure.pairs import PairsResult
from eval.measure.results import Estimate, TaskResult
from eval.measure.seeds import SeedFigure
from eval.protocols.overlap import step_of

__all__ = [
    "cluster_row",
    "console_table",
    "label",
    "leakage_row",
    "pairs_rows",
    "pairs_table",
    "result_rows",
    "seeds_table",
]

Row = dict[str, str | float | int | bool]

LEAKY = (
    "* leaky: some queries were seen in the index or in training; figures without them are below"
)
FEW = f"~ fewer than {ENOUGH} effective clusters: the intervals are too narrow to be reliable"
NAME_WIDTH = 19  # of "  25 % stop words *"; with cells this wide the usual table has 80 columns
CELL_WIDTH = 7  # of ".70-.72"


def label(protocol: str) -> str:
    """A protocol's name for people; the steps of the overlap curve say what is dropped.

    >>> label("overlap-random-75")
    '  75 % at random'
    """
    step = step_of(protocol)
    if step is None:
        return protocol
    order, percent = step
    if not percent:
        return "  nothing dropped"
    return f"  {percent} % {'at random' if order == 'random' else 'stop words'}"


def result_rows(results: Sequence[TaskResult], pool: int) -> Iterator[Row]:
    """One row for each protocol, profile and metric; pool: documents searched."""
    for result in results:
        for profile, found in result.estimates.items():
            for metric, estimate in found.items():
                yield {
                    "protocol": result.task.protocol,
                    "profile": profile,
                    "metric": metric,
                    **asdict(estimate),
                    "leaky": result.leaky,
                    "effective_clusters": round(result.clusters.effective, 1),
                    "pool": pool,
                    "chance": result.chance[metric],
                }


def pairs_rows(pairs: Sequence[PairsResult]) -> Iterator[Row]:
    """The same of the pairs card."""
    for line in pairs:
        for metric, (value, low, high) in line.figures.items():
            yield {
                "protocol": line.protocol,
                "profile": "vector",
                "metric": metric,
                "value": value,
                "low": low,
                "high": high,
                "queries": len(line.ranks),
                "leaky": line.leaky,
                "pool": line.pool,
                "chance": line.chance[metric],
            }


def pairs_table(pairs: Sequence[PairsResult]) -> list[Row]:
    """One row for each line of the pairs card, the metrics as columns."""
    return [
        {
            "protocol": line.protocol,
            "pool": line.pool,
            "queries": len(line.ranks),
            **{name: value for name, (value, _, _) in line.figures.items()},
            "R@1 over ties": line.expected_r1,
            "MRR@10 over ties": line.expected_rr10,
            "R@1 multi-positive": line.multi_r1,
            "median rank": line.median_rank,
            "RSum": line.rsum,
        }
        for line in pairs
    ]


def cluster_row(result: TaskResult) -> dict[str, object]:
    """How many independent queries a protocol has."""
    figures = result.everything
    profile, name, share = figures.heaviest
    return {
        "protocol": result.task.protocol,
        "queries": figures.queries,
        "clusters": len(figures.clusters.names),
        "effective": round(figures.clusters.effective, 2),
        "heaviest": name if figures.heavy else "",
        "heaviest_profile": profile if figures.heavy else "",
        "heaviest_share": round(share, 4),
    }


def leakage_row(result: TaskResult) -> dict[str, object]:
    """How many queries of a protocol were seen before, and the figures without those."""
    leakage = result.leakage
    return {
        "protocol": result.task.protocol,
        "metric": result.metric,
        "leaky": result.leaky,
        "queries": len(leakage.kinds),
        "leaked": leakage.leaked,
        **leakage.counts(),
        "elsewhere": leakage.elsewhere,
        "without": {}
        if result.clean is None
        else {
            profile: {metric: asdict(estimate) for metric, estimate in found.items()}
            for profile, found in result.clean.estimates.items()
        },
    }


def console_table(results: Sequence[TaskResult], profiles: Sequence[str], pool: int) -> Table:
    """Each protocol's metric of every profile, the interval below it; fits 80 columns."""
    told = [LEAKY] if any(result.leaky for result in results) else []
    told += [FEW] if any(result.everything.few for result in results) else []
    table = Table(
        title=f"{HEADLINE} (or as named), 95 % interval below it; {pool:,} documents searched",
        caption="\n".join(told) or None,
        box=None,
        header_style="bold underline",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("protocol", "queries", *profiles, "chance"):
        first = name == "protocol"
        table.add_column(
            name,
            justify="left" if first else "right",
            min_width=NAME_WIDTH if first else None,
            max_width=None if first else max(CELL_WIDTH, *map(len, name.split())),
            overflow="fold",
        )
    for result in results:
        metric = result.metric
        few = "~" if result.everything.few else ""
        marks = " *" if result.leaky else ""
        marks += f"\n({metric})" if metric != HEADLINE else ""
        table.add_row(
            f"{label(result.task.protocol)}{marks}",
            f"{len(result.task.topics)}{few}",
            *(_cell(result.estimates.get(name, {}).get(metric)) for name in profiles),
            small_figure(result.chance[metric]),
        )
        if result.leaky and result.clean is not None:
            clean = result.clean
            table.add_row(
                "  without leaked",
                f"{clean.queries}{'~' if clean.few else ''}",
                *(_cell(clean.estimates.get(name, {}).get(metric)) for name in profiles),
            )
    return table


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "n/a"
    low, high = (f"{end:.2f}".removeprefix("0")[:3] for end in (estimate.low, estimate.high))
    return f"{estimate.value:.3f}\n{low}-{high}"


def seeds_table(seeds: Sequence[SeedFigure]) -> Table:
    """Mean and spread over training seeds."""
    table = Table(
        "protocol",
        "ranking",
        "queries",
        "mean",
        "± over seeds",
        "95 % interval",
        "share of variance",
        title=f"{seeds[0].seeds} encoders of one recipe",
        box=None,
        pad_edge=False,
        header_style="bold underline",
    )
    for each in seeds:
        if not each.spread:
            continue
        table.add_row(
            label(each.protocol),
            each.profile,
            f"{each.queries}",
            f"{each.mean:.3f}",
            f"{each.spread:.3f}",
            f"{each.low:.2f} to {each.high:.2f}",
            f"{100 * each.share:.0f} %",
        )
    return table
