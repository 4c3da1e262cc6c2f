"""The report folder, written whole or not at all.

OUT/report.html          one page, nothing to load from anywhere
OUT/report.md            the same tables in Markdown
OUT/metrics.json         every figure, for programs
OUT/per_query.parquet    every query's values
OUT/runs/                TREC run files and qrels
OUT/plots/               the plots, as SVG files
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from encoders.storage import whole_folder
from eval import plots
from eval.curve import WeightCurve
from eval.evaluation import Evaluation
from eval.explorer import explorer_data
from eval.metrics import HEADLINE
from eval.results import TaskResult
from eval.runs import EvaluationError, gains
from eval.slices import Slice
from eval.summary import summary
from eval.trec import write_qrels, write_run

__all__ = ["METRICS", "PER_QUERY", "per_query", "write_report"]

METRICS = "metrics.json"
PER_QUERY = "per_query.parquet"


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the report to `out`, replacing an older report there.

    Raises EvaluationError where `out` holds something that is no report.
    """
    if out.exists() and not (out.is_dir() and _replaceable(out)):
        raise EvaluationError(f"{out} exists and is not a report. Name another folder.")
    content = evaluation.metrics()
    with whole_folder(out) as folder:
        (folder / METRICS).write_text(_json(content, indent=1) + "\n", encoding="utf-8")
        pq.write_table(per_query(evaluation), folder / PER_QUERY)
        _write_runs(evaluation, folder / "runs")
        drawn = dict(_plots(evaluation))
        (folder / "plots").mkdir()
        for name, svg in drawn.items():
            (folder / "plots" / f"{name}.svg").write_text(svg, encoding="utf-8")
        context = {
            "evaluation": evaluation,
            "content": content,
            "summary": summary(evaluation),
            "headline_metric": HEADLINE,
            "metric_names": list(next(iter(evaluation.tasks)).chance) if evaluation.tasks else [],
        }
        markdown = _template("report.md.j2").render(**context, plots=list(drawn))
        (folder / "report.md").write_text(markdown, encoding="utf-8")
        page = _template("report.html.j2").render(
            **context,
            plots={name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704  (our own SVG)
            explorer=_script_json(explorer_data(evaluation)),
            colour=plots.colour,
            profile_names=list(dict.fromkeys(name for r in evaluation.tasks for name in r.runs)),
            slices=_grouped_slices(evaluation),
            best={r.task.protocol: _best(r) for r in evaluation.tasks},
        )
        (folder / "report.html").write_text(page, encoding="utf-8")


def per_query(evaluation: Evaluation) -> pa.Table:
    """One row a protocol, profile and query: its values, and where the first right one stood."""
    tables = [
        pa.table(
            {
                "protocol": [result.task.protocol] * len(result.task.topics),
                "profile": [profile] * len(result.task.topics),
                "query": list(result.task.qrels.queries),
                "text": [topic.text for topic in result.task.topics],
                "group": [
                    "" if topic.row is None else evaluation.pool.groups[topic.row]
                    for topic in result.task.topics
                ],
                "relevant": result.task.qrels.relevant,
                "first_rank": _first_ranks(result, profile),
                "leaked": list(result.leakage.kinds),
                **values,
            }
        )
        for result in evaluation.tasks
        for profile, values in result.values.items()
    ]
    return pa.concat_tables(tables) if tables else pa.table({"protocol": pa.array([], pa.string())})


def _first_ranks(result: TaskResult, profile: str) -> pa.Array:
    found = gains(result.runs[profile], result.task.qrels) > 0
    if not found.shape[1]:
        return pa.nulls(len(found), pa.int64())
    return pa.array(found.argmax(axis=1) + 1, pa.int64(), mask=~found.any(axis=1))


def _write_runs(evaluation: Evaluation, folder: Path) -> None:
    for result in evaluation.tasks:
        write_qrels(folder / f"{result.task.protocol}.qrels", result.task.qrels)
        for profile, run in result.runs.items():
            name = profile.replace(" ", "-")
            write_run(folder / f"{result.task.protocol}.{name}.trec", run, name)


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    if evaluation.tasks:
        yield (
            "intervals",
            plots.dot_plot(
                {
                    r.task.protocol: {p: f[HEADLINE] for p, f in r.estimates.items()}
                    for r in evaluation.tasks
                },
                {r.task.protocol: r.chance[HEADLINE] for r in evaluation.tasks},
                f"mean {HEADLINE} with 95 % interval",
            ),
        )
    if evaluation.curve is not None:
        yield "weight", curve_plot(evaluation.curve)
    if evaluation.headline is not None:
        scores = _scores(evaluation.headline)
        if scores:
            yield "scores", plots.histograms(scores, "score of the first hits")
    for name, label in (("loss", "training loss"), ("validation_mrr10", "validation MRR@10")):
        points = evaluation.training.get(name, [])
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            yield name, plots.line_plot([plots.Line(label, steps, values)], "step", label)
    if evaluation.similarity is not None:
        yield "similarity", plots.heat_map(evaluation.similarity, "captions", "images")


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


def _grouped_slices(evaluation: Evaluation) -> dict[str, list[Slice]]:
    grouped: dict[str, list[Slice]] = {}
    for part in evaluation.slices:
        grouped.setdefault(f"{part.protocol}, by {part.by}", []).append(part)
    return grouped


def _best(result: TaskResult) -> dict[str, str]:
    """Metric -> the profile with the highest mean."""
    return {
        metric: max(result.estimates, key=lambda name: result.estimates[name][metric].value)
        for metric in result.chance
    }


def _replaceable(out: Path) -> bool:
    return (out / METRICS).exists() or not any(out.iterdir())


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("eval", "templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value: f"{value:.3f}"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template(name)


def _json(content: object, indent: int | None = None) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)


def _script_json(content: object) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = _json(content)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (escaped above)
