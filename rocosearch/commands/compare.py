"""`rocosearch compare`: compare two reports; a regression check for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import say, show, show_json
from rocosearch.options import AsJson

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch compare build/report build/report-new
rocosearch compare build/report build/report-new --metric RR@10 --metric nDCG@10
rocosearch compare build/report build/report-new --margin 0.02
"""

Report = Annotated[Path, typer.Argument(help="Folder written by `rocosearch eval`.")]


def command(
    first: Report,
    second: Report,
    *,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metric to compare, repeatable; default RR@10.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="LOSS",
            help="Accept losses up to this; every changed figure must be shown to be within it.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for bootstrap and randomisation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two reports: which figures rose or fell by more than noise.

    Paired over the same queries, corrected over the figures that changed (Holm). The exit code
    is 1 if a figure fell or is missing in the second report, or, with --margin, is not shown to
    be within it. Reports with different topics, judgements or pools are refused.
    """
    from eval.comparison.compare import compare_reports

    metrics = tuple(metric) if metric else ("RR@10",)
    changes = compare_reports(first, second, metrics, margin=margin, seed=seed)
    if as_json:
        show_json(changes.metrics())
    else:
        if changes.changed:
            show(changes.table())
        if changes.missing or changes.added:
            say("Only one report has:", style="yellow")
            for line in changes.missing_lines():
                say(f"  {line}", style="yellow")
        say(changes.verdict(), style=None if changes.passed else "red")
    if not changes.passed:
        raise typer.Exit(1)
