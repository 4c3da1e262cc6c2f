"""An evaluation as a whole, as rows for programs and as a table for people."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from eval.leakage.training_overlap import Overlap
from eval.measure.chance import small_figure
from eval.measure.metrics import HEADLINE
from eval.measure.pairs import PairsResult
from eval.measure.results import Estimate, TaskResult
from eval.measure.slices import Slice
from eval.protocols.tasks import Skipped
from eval.search.pool import Pool
from eval.tuning.curve import WeightCurve
from ingest.corpus.corpus import Corpus

__all__ = ["Evaluation", "headline"]

Curve = list[tuple[float, float]]
Row = dict[str, str | float | int | bool]

LEAKY = "* leaky: the query, or the image, was seen before; see the report"
HEADLINE_PROTOCOLS = ("own-topics", "split-caption", "same-case", "same-article")


def headline(tasks: Sequence[TaskResult]) -> TaskResult | None:
    """The task that opens a report: a headline protocol without leakage, if there is one."""
    preferred = [t for t in tasks if t.task.protocol in HEADLINE_PROTOCOLS]
    clean = [t for t in preferred if not t.leakage.leaky]
    return next(iter([*clean, *preferred, *tasks]), None)


@dataclass(frozen=True)
class Evaluation:
    """Everything a report is made of.

    training: the encoder's curves, name -> (step, value) points. similarity: cosines of a
    batch of captions (rows) and their images (columns). overlap: what of the pool stands in
    the train split too; None where no encoder was trained.
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
    notes: Sequence[str] = ()

    @property
    def headline(self) -> TaskResult | None:
        """The task that opens the report: the first headline protocol, else the first task."""
        return headline(self.tasks)

    def metrics(self) -> dict[str, object]:
        """The content of metrics.json: rows, comparisons, leakage, what was skipped, provenance."""
        return {
            "rows": [*self._rows(), *self._pairs_rows()],
            "comparisons": [
                {"protocol": result.task.protocol, **asdict(comparison)}
                for result in self.tasks
                for comparison in result.comparisons
            ],
            "leakage": [_leakage(result) for result in self.tasks],
            "training_overlap": self._overlap(),
            "slices": [
                {
                    "protocol": part.protocol,
                    "by": part.by,
                    "slice": part.name,
                    "profile": profile,
                    "metric": HEADLINE,
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
        """MRR@10 of every protocol and profile, the interval below it; fits 80 columns."""
        table = Table(
            title=f"{HEADLINE}, 95 % interval below it; {len(self.pool):,} documents searched",
            caption=LEAKY if any(result.leakage.leaky for result in self.tasks) else None,
            box=None,
            header_style="bold underline",
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        profiles = list(dict.fromkeys(name for result in self.tasks for name in result.runs))
        for name in ("protocol", "queries", *profiles, "chance"):
            first = name == "protocol"
            table.add_column(
                name, justify="left" if first else "right", no_wrap=first, overflow="fold"
            )
        for result in self.tasks:
            cells = [_cell(result.estimates.get(name, {}).get(HEADLINE)) for name in profiles]
            table.add_row(
                f"{result.task.protocol}{' *' if result.leakage.leaky else ''}",
                str(len(result.task.topics)),
                *cells,
                small_figure(result.chance[HEADLINE]),
            )
        return table

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

    def _overlap(self) -> dict[str, object]:
        if self.overlap is None:
            return {}
        same = np.flatnonzero(self.overlap.same_image).tolist()
        near = np.flatnonzero(self.overlap.near_image).tolist()
        return {
            **self.overlap.counts(),
            "same_images": [self.pool.ids[row] for row in same],
            "near_images": [self.pool.ids[row] for row in near],
        }

    def _rows(self) -> Iterator[Row]:
        for result in self.tasks:
            for profile, found in result.estimates.items():
                for metric, estimate in found.items():
                    yield {
                        "protocol": result.task.protocol,
                        "profile": profile,
                        "metric": metric,
                        **asdict(estimate),
                        "leaky": result.leakage.leaky,
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


def _leakage(result: TaskResult) -> dict[str, object]:
    leakage = result.leakage
    return {
        "protocol": result.task.protocol,
        "leaky": leakage.leaky,
        "queries": len(leakage.kinds),
        "leaked": leakage.leaked,
        **leakage.counts(),
        "elsewhere": leakage.elsewhere,
        "without": {
            profile: {metric: asdict(estimate) for metric, estimate in found.items()}
            for profile, found in result.without_leaked.items()
        },
    }


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "n/a"
    low, high = (f"{end:.2f}".removeprefix("0")[:3] for end in (estimate.low, estimate.high))
    return f"{estimate.value:.3f}\n{low}-{high}"
