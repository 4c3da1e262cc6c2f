"""`rocosearch eval`: how good each profile is, with honest statistics."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import (
    AsJson,
    CorpusFolder,
    Cutoffs,
    IndexFolder,
    OutFolder,
    ProfilesFile,
    parse_cutoffs,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch eval build/index build/corpus build/report
rocosearch eval build/index build/corpus build/report --protocol same-case -k 1,10
"""


def command(
    index: IndexFolder,
    corpus: CorpusFolder,
    out: OutFolder,
    *,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Protocol to run, may be repeated; all that the data supports if none."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Profile to compare, may be repeated; lexical, vector, hybrid if none."),
    ] = None,
    cutoffs: Cutoffs = "1,5,10",
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Split of the queries; test, else validation, if none."),
    ] = None,
    pool: Annotated[
        Literal["split", "all"], typer.Option(help="Search the queries' split only, or everything.")
    ] = "split",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and the randomisation.")] = 0,
    profiles: ProfilesFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare lexical, vector and hybrid ranking on held-out queries.

    OUT gets report.md, report.html, metrics.json, per_query.parquet and TREC run files.
    Intervals are bootstrapped, comparisons paired; results whose query text stands in the
    index are labelled leaky, and a protocol that the data cannot support is skipped with its
    reason.
    """
    ks = parse_cutoffs(cutoffs)
    from eval.run import Options
    from rocosearch.pipeline import evaluate

    options = Options(
        protocols=tuple(protocol or ()),
        profiles=tuple(profile or ()),
        ks=ks,
        split=split,
        scope="all" if pool == "all" else "split",
        seed=seed,
        command=shlex.join(["rocosearch", *sys.argv[1:]]),
    )

    with progress_bars() as progress:
        evaluation = evaluate(index, corpus, out, options, profiles=profiles, progress=progress)
    if as_json:
        show_json(evaluation.metrics())
        return
    results.print(evaluation.table())
    results.print(f"Report: {out / 'report.html'}")
