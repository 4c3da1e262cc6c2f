"""What report.html is filled with, and how the templates are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from eval.measure.chance import small_figure
from eval.measure.metrics import HEADLINE
from eval.measure.results import TaskResult
from eval.measure.slices import Slice
from eval.report import plots
from eval.report.evaluation import Evaluation
from eval.report.explorer import explorer_data

__all__ = ["page_context", "template"]

# Leaked queries named of each kind of leak and protocol.
NAMED = 3


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
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment.get_template(name)


def page_context(evaluation: Evaluation, drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the page needs beyond what the Markdown report does. drawn: name -> SVG."""
    return {
        "headline": evaluation.headline,
        "race_top": _race_top(evaluation.headline),
        "plots": {name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704  (our own SVG)
        "explorer": _script_json(explorer_data(evaluation)),
        "colour": plots.colour,
        "profile_names": list(dict.fromkeys(name for r in evaluation.tasks for name in r.runs)),
        "slices": _grouped_slices(evaluation),
        "best": {r.task.protocol: _best(r) for r in evaluation.tasks},
        "leaked": {r.task.protocol: _leaked(r) for r in evaluation.tasks if r.leakage.leaked},
    }


def _race_top(headline: TaskResult | None) -> float:
    """Where the bars of the headline end: a little beyond the highest interval."""
    if headline is None:
        return 1.0
    highest = max(found[HEADLINE].high for found in headline.estimates.values())
    return min(1.0, 1.05 * max(highest, headline.chance[HEADLINE])) or 1.0


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
        means = {name: round(found[metric].value, 3) for name, found in result.estimates.items()}
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
