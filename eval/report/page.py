"""Fill the templates of report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from eval.measure.chance import small_figure
from eval.measure.results import TaskResult
from eval.measure.slices import Slice
from eval.protocols.overlap import step_of
from eval.report import plots
from eval.report.columns import label
from eval.report.evaluation import Evaluation
from eval.report.explorer import explorer_data

__all__ = ["page_context", "template"]

# Leaked queries named of each kind of leak and protocol.
NAMED = 3
# Columns of the pairs card: metric and title.
PAIR_METRICS = (
    ("Success@1", "R@1"),
    ("Success@5", "R@5"),
    ("Success@10", "R@10"),
    ("Success@50", "R@50"),
    ("Success@200", "R@200"),
    ("RR@10", "MRR@10"),
)


@cache
def template(name: str) -> Template:
    """One of the templates, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("eval.report", "templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["small"] = small_figure
    environment.filters["label"] = label
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template(name)


def page_context(evaluation: Evaluation, drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the page needs beyond what the Markdown report does. drawn: name -> SVG."""
    main = [r for r in evaluation.results if not step_of(r.task.protocol)]
    steps = [r for r in evaluation.results if step_of(r.task.protocol)]
    return {
        "headline": evaluation.headline,
        "explored": evaluation.explored,
        "main": main,
        "steps": steps,
        "ticks": _ticks(evaluation.headline),
        "plots": {name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704  (our own SVG)
        "explorer": _script_json(explorer_data(evaluation)),
        "colour": plots.colour,
        "profile_names": list(dict.fromkeys(n for r in evaluation.tasks for n in r.values)),
        "slices": _grouped_slices(evaluation),
        "best": {r.task.protocol: _best(r) for r in evaluation.results},
        "leaked": {r.task.protocol: _leaked(r) for r in evaluation.tasks if r.leakage.leaked},
        "pair_metrics": PAIR_METRICS,
    }


def _ticks(headline: TaskResult | None) -> list[float]:
    """Marks of the axis under the headline's bars, from 0 to beyond the highest interval."""
    if headline is None:
        return [0.0, 1.0]
    metric = headline.metric
    highest = max(found[metric].high for found in headline.shown.estimates.values())
    return plots.ticks(0.0, min(1.0, max(highest, headline.chance[metric], 0.01)))


def _grouped_slices(evaluation: Evaluation) -> dict[str, dict[str, list[Slice]]]:
    """Protocol -> what it is sliced by -> slices."""
    grouped: dict[str, dict[str, list[Slice]]] = {}
    for part in evaluation.slices:
        grouped.setdefault(part.protocol, {}).setdefault(part.by, []).append(part)
    return grouped


def _best(result: TaskResult) -> dict[str, list[str]]:
    """Metric -> the profiles with the highest mean, as far as three digits tell."""
    best = {}
    for metric in result.chance:
        shown = result.shown.estimates
        means = {name: round(found[metric].value, 3) for name, found in shown.items()}
        best[metric] = [name for name, mean in means.items() if mean == max(means.values())]
    return best


def _leaked(result: TaskResult) -> list[tuple[str, str]]:
    """Kind and text (or id) of a few leaked queries of each kind."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, topic in zip(result.leakage.kinds, result.task.topics, strict=True):
        if kind and len(found.setdefault(kind, [])) < NAMED:
            found[kind].append((kind, f"{topic.id}: {topic.text}" if topic.text else topic.id))
    return [each for some in found.values() for each in some]


def _script_json(content: object) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (escaped above)
