"""`rocosearch eval`: how good each profile is, with honest statistics."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, say, show, show_json
from rocosearch.options import (
    AsJson,
    ConfigUrl,
    CorpusFolder,
    Cutoffs,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    OutFolder,
    ProfilesFile,
    parse_counts,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch eval build/index build/corpus build/report
rocosearch eval build/index build/corpus build/report --protocol same-case -k 1,10
rocosearch eval build/index build/corpus build/report --topics topics.tsv --qrels judged.qrels
rocosearch eval http://localhost:8080 build/corpus build/report --app build/app
"""


def command(
    index: IndexOrUrl,
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
    topics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own queries: TREC topics, or a folder as BEIR's."),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Their relevance judgements, in TREC's or BEIR's form."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the bootstrap and the randomisation.")
    ] = 0,
    profiles: ProfilesFile = None,
    encoder: OptionalEncoder = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compare lexical, vector and hybrid ranking on held-out queries.

    OUT gets report.md, report.html, metrics.json, per_query.parquet and TREC run files.
    Intervals are bootstrapped, comparisons paired; results whose query text stands in the
    index are labelled leaky, and a protocol that the data cannot support is skipped with its
    reason. A running Vespa is asked by --encoder's vectors (without it only lexical ranking is
    evaluated); an answer from a part of its documents is an error.
    """
    ks = parse_counts(cutoffs, "cutoff")
    if qrels and not topics:
        raise typer.BadParameter("--qrels judges the queries of --topics: name them as well.")
    from eval.evaluate import Options
    from rocosearch.pipeline import evaluate
    from rocosearch.vespa_jobs import Server, evaluate_server

    server = Server(index, package, config_url)
    if server.is_url and profiles:
        raise typer.BadParameter("--profiles: a server ranks by the package deployed there.")
    if not server.is_url and (package or config_url):
        raise typer.BadParameter("--app and --config-url go with the URL of a running Vespa.")

    options = Options(
        protocols=tuple(protocol or ()),
        profiles=tuple(profile or ()),
        ks=ks,
        split=split,
        scope="all" if pool == "all" else "split",
        topics=topics,
        qrels=qrels,
        seed=seed,
        command=shlex.join(["rocosearch", *sys.argv[1:]]),
    )

    with progress_bars() as progress:
        if server.is_url:
            evaluation = evaluate_server(
                server, corpus, out, options, encoder=encoder, progress=progress
            )
        else:
            evaluation = evaluate(
                Path(index),
                corpus,
                out,
                options,
                profiles=profiles,
                encoder=encoder,
                progress=progress,
            )
    if as_json:
        show_json(evaluation.metrics())
        return
    show(evaluation.table())
    for note in evaluation.notes:
        say(note, style="yellow")
    results.print(f"Report: {out / 'report.html'}")
