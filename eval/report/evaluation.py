"""The report: its rows and columns, for programs and as the console table."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from eval.collection.pool import Pool
from eval.leakage.training_overlap import Overlap
from eval.measure.bootstrap import ENOUGH
from eval.measure.chance import small_figure
from eval.measure.judged import Judged
from eval.measure.metrics import HEADLINE
from eval.measure.overlap_curve import OverlapCurve
from eval.measure.pairs import PairsResult
from eval.measure.results import Estimate, TaskResult
from eval.measure.seeds import SeedFigure
from eval.measure.slices import Slice
from eval.protocols.overlap import step_of
from eval.protocols.tasks import Skipped
from eval.tuning.curve import WeightCurve
from ingest.corpus.corpus import Corpus

__all__ = ["Evaluation", "headline", "label"]

Curve = list[tuple[float, float]]
Row = dict[str, str | float | int | bool]

LEAKY = (
    "* leaky: some queries were seen in the index or in training; figures without them are below"
)
FEW = f"~ fewer than {ENOUGH} effective clusters: the intervals are too narrow to be reliable"
NAME_WIDTH = 19  # of "  25 % stop words *"; with cells this wide the usual table has 80 columns
CELL_WIDTH = 7  # of ".70-.72"
HEADLINE_PROTOCOLS = ("own-topics", "overlap", "split-caption", "same-case", "same-article")


def headline(tasks: Sequence[TaskResult]) -> TaskResult | None:
    """The task that opens a report, chosen after leakage is taken out.

    The first headline protocol with enough queries that are not leaked; where there is none, the
    first headline protocol, else the first task.
    """
    place = {name: rank for rank, name in enumerate(HEADLINE_PROTOCOLS)}
    preferred = sorted(
        (t for t in tasks if t.task.protocol in place), key=lambda t: place[t.task.protocol]
    )
    sound = [t for t in preferred if t.sound]
    return next(iter([*sound, *preferred, *tasks]), None)


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


@dataclass(frozen=True)
class Evaluation:
    """Everything a report is made of.

    training: the encoder's curves, name -> (step, value) points. similarity: cosines of a
    batch of captions (rows) and their images (columns). overlap: what of the pool was trained
    on; None without an encoder. judged: protocol -> profile -> how much is judged. pooling: how
    deep unjudged documents are written down, 0 for not at all. seeds: figures over several encoders
    of one recipe.
    """

    corpus: Corpus
    pool: Pool
    tasks: Sequence[TaskResult]
    skipped: Sequence[Skipped]
    pairs: Sequence[PairsResult]
    provenance: Mapping[str, object]
    training: Mapping[str, Curve] = field(default_factory=dict)
    similarity: NDArray[np.float64] | None = None
    overlap: Overlap | None = None
    slices: Sequence[Slice] = ()
    curve: WeightCurve | None = None
    overlap_curve: OverlapCurve | None = None
    judged: Mapping[str, Mapping[str, Judged]] = field(default_factory=dict)
    pooling: int = 0
    seeds: Sequence[SeedFigure] = ()
    notes: Sequence[str] = ()

    @property
    def results(self) -> list[TaskResult]:
        """All results, the overlap curve's mean in front of its steps."""
        whole = [self.overlap_curve.whole] if self.overlap_curve else []
        return [*whole, *self.tasks]

    @property
    def headline(self) -> TaskResult | None:
        """What opens the report."""
        return headline(self.results)

    @property
    def explored(self) -> TaskResult | None:
        """The first headline task that has result lists to look at."""
        return headline(self.tasks)

    def metrics(self) -> dict[str, object]:
        """The content of metrics.json: rows, comparisons, leakage, what was skipped, provenance."""
        return {
            "headline": self._headline(),
            "rows": [*self._rows(), *self._pairs_rows()],
            "comparisons": [
                {"protocol": result.task.protocol, "leaked": leaked, **asdict(comparison)}
                for result in self.results
                for leaked, figures in (("with", result.everything), ("without", result.clean))
                if figures is not None
                for comparison in figures.comparisons
            ],
            "clusters": [_clusters(result) for result in self.results],
            "leakage": [_leakage(result) for result in self.results],
            "training_overlap": self._overlap(),
            "overlap_curve": self._overlap_curve(),
            "judged": [
                {"protocol": protocol, "profile": profile, **asdict(found)}
                for protocol, profiles in self.judged.items()
                for profile, found in profiles.items()
            ],
            "seeds": [asdict(each) for each in self.seeds],
            "slices": [
                {
                    "protocol": part.protocol,
                    "by": part.by,
                    "slice": part.name,
                    "profile": profile,
                    "metric": part.metric,
                    **asdict(found),
                }
                for part in self.slices
                for profile, found in part.estimates.items()
            ],
            "skipped": [asdict(part) for part in self.skipped]
            + [
                {"protocol": result.task.protocol, "profile": profile, "reason": reason}
                for result in self.tasks
                for profile, reason in result.inapplicable.items()
            ],
            "notes": [
                *self.notes,
                *self.pool.notes,
                *(f"{r.task.protocol}: {note}" for r in self.tasks for note in r.task.notes),
            ],
            "weight_curve": self._curve(),
            "provenance": dict(self.provenance),
        }

    def __repr__(self) -> str:
        """What was evaluated, in a line."""
        names = ", ".join(result.task.protocol for result in self.tasks) or "nothing"
        return f"<Evaluation: {names}; {len(self.pool):,} documents searched>"

    def _repr_html_(self) -> str:
        console = Console(record=True, file=io.StringIO(), width=120)
        console.print(self.table())
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")

    def table(self) -> Table:
        """Each protocol's metric of every profile, the interval below it; fits 80 columns."""
        told = [LEAKY] if any(result.leaky for result in self.results) else []
        told += [FEW] if any(result.everything.few for result in self.results) else []
        table = Table(
            title=f"{HEADLINE} (or as named), 95 % interval below it; "
            f"{len(self.pool):,} documents searched",
            caption="\n".join(told) or None,
            box=None,
            header_style="bold underline",
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        profiles = list(dict.fromkeys(name for result in self.tasks for name in result.runs))
        for name in ("protocol", "queries", *profiles, "chance"):
            first = name == "protocol"
            table.add_column(
                name,
                justify="left" if first else "right",
                min_width=NAME_WIDTH if first else None,
                max_width=None if first else max(CELL_WIDTH, *map(len, name.split())),
                overflow="fold",
            )
        for result in self.results:
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

    def seeds_table(self) -> Table | None:
        """Mean and spread over training seeds; None if one encoder was evaluated."""
        if not self.seeds:
            return None
        table = Table(
            "protocol",
            "ranking",
            "queries",
            "mean",
            "± over seeds",
            "95 % interval",
            "share of variance",
            title=f"{self.seeds[0].seeds} encoders of one recipe",
            box=None,
            pad_edge=False,
            header_style="bold underline",
        )
        for each in self.seeds:
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

    def _headline(self) -> dict[str, object]:
        shown = self.headline
        if shown is None:
            return {}
        return {
            "protocol": shown.task.protocol,
            "metric": shown.metric,
            "without_leaked": shown.shown is shown.clean,
            "leaky": not shown.sound,
            "queries": shown.shown.queries,
        }

    def _curve(self) -> dict[str, object]:
        if self.curve is None:
            return {}
        points = [{"alpha": a, **asdict(found)} for a, found in self.curve.estimates.items()]
        return {
            "protocol": self.curve.protocol,
            "profile": self.curve.profile,
            "default": self.curve.default,
            "points": points,
        }

    def _overlap_curve(self) -> list[dict[str, object]]:
        if self.overlap_curve is None:
            return []
        return [
            {"order": order, "profile": profile, "dropped": percent, **asdict(found)}
            for order, profiles in self.overlap_curve.curves.items()
            for profile, points in profiles.items()
            for percent, found in points.items()
        ]

    def _overlap(self) -> dict[str, object]:
        if self.overlap is None:
            return {}
        parts = {
            "same_images": self.overlap.same_image,
            "copies": self.overlap.copy_image,
            "near_images": self.overlap.near_image,
        }
        return {
            "known": self.overlap.known,
            **self.overlap.counts(),
            **{
                name: [self.pool.ids[row] for row in np.flatnonzero(marks).tolist()]
                for name, marks in parts.items()
            },
        }

    def _rows(self) -> Iterator[Row]:
        for result in self.results:
            for profile, found in result.estimates.items():
                for metric, estimate in found.items():
                    yield {
                        "protocol": result.task.protocol,
                        "profile": profile,
                        "metric": metric,
                        **asdict(estimate),
                        "leaky": result.leaky,
                        "effective_clusters": round(result.clusters.effective, 1),
                        "pool": len(self.pool),
                        "chance": result.chance[metric],
                    }

    def _pairs_rows(self) -> Iterator[Row]:
        for line in self.pairs:
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


def _clusters(result: TaskResult) -> dict[str, object]:
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


def _leakage(result: TaskResult) -> dict[str, object]:
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


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "n/a"
    low, high = (f"{end:.2f}".removeprefix("0")[:3] for end in (estimate.low, estimate.high))
    return f"{estimate.value:.3f}\n{low}-{high}"
