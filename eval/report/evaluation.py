"""Everything that a report is made of, and the content of metrics.json."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from eval.collection.pool import Pool
from eval.leakage.training_overlap import Overlap
from eval.measure.incomplete_judgements import Judged
from eval.measure.overlap_curve import OverlapCurve
from eval.measure.pairs import PairsResult
from eval.measure.results import TaskResult
from eval.measure.seeds import SeedFigure
from eval.measure.slices import Slice
from eval.protocols.tasks import Skipped
from eval.report.columns import cluster_row, console_table, leakage_row, pairs_rows, result_rows
from eval.tuning.curve import WeightCurve
from ingest.corpus.corpus import Corpus

__all__ = ["Evaluation", "headline"]

Curve = list[tuple[float, float]]

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
            "rows": [*result_rows(self.results, len(self.pool)), *pairs_rows(self.pairs)],
            "comparisons": [
                {"protocol": result.task.protocol, "leaked": leaked, **asdict(comparison)}
                for result in self.results
                for leaked, figures in (("with", result.everything), ("without", result.clean))
                if figures is not None
                for comparison in figures.comparisons
            ],
            "clusters": [cluster_row(result) for result in self.results],
            "leakage": [leakage_row(result) for result in self.results],
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
        """The table that the command line prints."""
        profiles = list(dict.fromkeys(name for result in self.tasks for name in result.runs))
        return console_table(self.results, profiles, len(self.pool))

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
