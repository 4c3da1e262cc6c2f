"""Write the report folder atomically.

OUT/report.html          one page, nothing to load from anywhere
OUT/report.md            the same tables in Markdown
OUT/metrics.json         every figure, for programs
OUT/per_query.parquet    every query's values
OUT/tables/              every table as CSV and LaTeX
OUT/runs/                topics, judgements, runs, and how another system is judged on them
OUT/plots/               the plots, as SVG files
OUT/pool.tsv             unjudged documents, where they were asked for
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from encoders.base.storage import whole_folder
from eval.collection.runs import EvaluationError, gains
from eval.measure.incomplete_judgements import write_pool
from eval.measure.metrics import HEADLINE
from eval.measure.results import TaskResult
from eval.protocols.own_topics import OWN_TOPICS
from eval.report.csv_latex import write_tables
from eval.report.evaluation import Evaluation
from eval.report.figures import plots_of
from eval.report.page import page_context, template
from eval.report.replay import write_runs
from eval.report.summary import summary

__all__ = ["METRICS", "PER_QUERY", "POOL", "per_query", "write_report"]

METRICS = "metrics.json"
PER_QUERY = "per_query.parquet"
POOL = "pool.tsv"


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the report to `out`, replacing an older report there.

    Raises EvaluationError if `out` holds something that is no report.
    """
    if out.exists() and not (out.is_dir() and _replaceable(out)):
        raise EvaluationError(f"{out} exists and is not a report. Name another folder.")
    with whole_folder(out) as folder:
        hashes = write_runs(evaluation, folder / "runs")
        evaluation = replace(evaluation, provenance={**evaluation.provenance, "sha256": hashes})
        content = evaluation.metrics()
        (folder / METRICS).write_text(_json(content, indent=1) + "\n", encoding="utf-8")
        pq.write_table(per_query(evaluation), folder / PER_QUERY)
        write_tables(evaluation, content, folder / "tables")
        if evaluation.pooling:
            write_pool(folder / POOL, evaluation.tasks, evaluation.pool, evaluation.pooling)
        plotted = dict(plots_of(evaluation))
        (folder / "plots").mkdir()
        for name, svg in plotted.items():
            (folder / "plots" / f"{name}.svg").write_text(svg, encoding="utf-8")
        context = {
            "evaluation": evaluation,
            "content": content,
            "summary": summary(evaluation),
            "own_topics": any(r.task.protocol == OWN_TOPICS for r in evaluation.tasks),
            "headline_metric": HEADLINE,
            "metric_names": list(next(iter(evaluation.tasks)).chance) if evaluation.tasks else [],
        }
        markdown = template("report.md.j2").render(**context, plots=list(plotted))
        (folder / "report.md").write_text(markdown, encoding="utf-8")
        page = template("report.html.j2").render(**context, **page_context(evaluation, plotted))
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
                "cluster": result.clusters.numbers,
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


def _replaceable(out: Path) -> bool:
    return (out / METRICS).exists() or not any(out.iterdir())


def _json(content: object, indent: int | None = None) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)
