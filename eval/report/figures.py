"""The plots of a report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eval.collection.runs import gains
from eval.measure.metrics import HEADLINE
from eval.measure.overlap_curve import OverlapCurve
from eval.measure.results import TaskResult
from eval.protocols.overlap import step_of
from eval.report import plots
from eval.report.evaluation import Evaluation
from eval.tuning.curve import WeightCurve

__all__ = ["curve_plot", "overlap_plots", "plots_of"]


def plots_of(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield name and SVG of every plot that there is something to draw for."""
    if evaluation.overlap_curve is not None:
        yield from overlap_plots(evaluation.overlap_curve)
    rows = [r for r in evaluation.results if not step_of(r.task.protocol)]
    if rows:
        yield (
            "intervals",
            plots.dot_plot(
                {
                    r.task.protocol: {p: f[r.metric] for p, f in r.shown.estimates.items()}
                    for r in rows
                },
                {r.task.protocol: r.chance[r.metric] for r in rows},
                f"mean {HEADLINE} (graded protocols: nDCG@10) with 95 % interval",
            ),
        )
    if evaluation.curve is not None:
        yield "weight", curve_plot(evaluation.curve)
    if evaluation.explored is not None:
        scores = _scores(evaluation.explored)
        if scores:
            yield "scores", plots.histograms(scores, "score of the first hits")
    for name, label in (("loss", "training loss"), ("validation_mrr10", "validation MRR@10")):
        points = evaluation.training.get(name, [])
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            yield name, plots.line_plot([plots.Line(label, steps, values)], "step", label)
    if evaluation.similarity is not None:
        yield "similarity", plots.heat_map(evaluation.similarity, "captions", "images")


def overlap_plots(curve: OverlapCurve) -> Iterator[tuple[str, str]]:
    """A plot for each order in which words are dropped: a line a ranking, with its band."""
    highest = max(
        point.high
        for profiles in curve.curves.values()
        for points in profiles.values()
        for point in points.values()
    )
    for order, profiles in curve.curves.items():
        lines = [
            plots.Line(
                series=name,
                x=sorted(points),
                y=[points[step].value for step in sorted(points)],
                low=[points[step].low for step in sorted(points)],
                high=[points[step].high for step in sorted(points)],
            )
            for name, points in profiles.items()
        ]
        how = "at random" if order == "random" else "stop words first"
        metric = curve.whole.metric
        yield (
            f"overlap-{order}",
            plots.line_plot(
                lines, f"% of the caption's words dropped, {how}", f"mean {metric}", top=highest
            ),
        )


def curve_plot(curve: WeightCurve) -> str:
    """MRR@10 over alpha with its interval; dotted: the profile's own alpha."""
    found = list(curve.estimates.values())
    line = plots.Line(
        series=curve.profile,
        x=list(curve.estimates),
        y=[each.value for each in found],
        low=[each.low for each in found],
        high=[each.high for each in found],
    )
    label = "alpha: 0 is lexical, 1 is vector ranking; dotted: the profile's own"
    return plots.line_plot([line], label, "MRR@10", mark=curve.default)


def _scores(result: TaskResult) -> dict[str, dict[str, np.ndarray]]:
    """Scores of relevant hits and of the best hit that is not relevant, by profile."""
    panels = {}
    for profile, run in result.runs.items():
        relevant = gains(run, result.task.qrels) > 0
        returned = np.isfinite(run.scores)
        other = returned & ~relevant
        first_other = other & (other.cumsum(axis=1) == 1)
        series = {
            "relevant": run.scores[relevant & returned],
            "best that is not relevant": run.scores[first_other],
        }
        if all(len(values) for values in series.values()):
            panels[profile] = series
    return panels
