"""`rocosearch eval`: evaluate rank profiles on held-out queries."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, say, show, show_json
from rocosearch.no_effect import NoEffect
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
rocosearch eval build/index build/corpus build/report --protocol caption --run caption.theirs.trec
rocosearch eval http://localhost:8080 build/corpus build/report --app build/app
"""
NO_EFFECT = (
    NoEffect("--app --config-url", "without a URL", "since an index has its own profiles"),
    NoEffect("--profiles", "with a URL", "since a server ranks by its deployed package"),
    NoEffect("--seed-index", "with a URL", "since it names an index to compare with another"),
    NoEffect("--qrels", "without --topics"),
)


def command(
    index: IndexOrUrl,
    corpus: CorpusFolder,
    out: OutFolder,
    *,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Protocol to run, repeatable; default: all that the data supports."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Profile to compare, repeatable; default: lexical, vector, hybrid."),
    ] = None,
    cutoffs: Cutoffs = "1,5,10",
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Split of the queries; default: test, else validation."),
    ] = None,
    pool: Annotated[
        Literal["split", "all"] | None,
        typer.Option(
            help="Search only the queries' split, or all documents; default: all with --topics, "
            "else split."
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Metric of tests, tables and slices, such as nDCG@10; default: that of each "
            "protocol.",
        ),
    ] = "",
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Include rank-bm25.")
    ] = True,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="TREC run of another system to include, PROTOCOL.NAME.trec; repeatable.",
        ),
    ] = None,
    seed_index: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="INDEX",
            help="Index of the same corpus whose encoder differs only in its training seed; "
            "repeatable.",
        ),
    ] = None,
    pooling: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="DEPTH",
            help="Write unjudged documents of all runs, to this depth, to pool.tsv.",
        ),
    ] = 0,
    judgements: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A pool.tsv with the column `grade` filled in."),
    ] = None,
    topics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Your own queries: TREC topics, or a folder in BEIR's layout."
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Their relevance judgements, in TREC or BEIR format."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for bootstrap and randomisation.")] = 0,
    profiles: ProfilesFile = None,
    encoder: OptionalEncoder = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compare lexical, vector and hybrid ranking on held-out queries.

    OUT gets report.md, report.html, metrics.json, per_query.parquet and TREC run files.
    Intervals are bootstrapped over clusters; comparisons are paired. A figure is labelled leaky if
    it changes without the queries that were seen in the index or in training. A protocol that the
    data does not support is skipped with a reason. Queries to a running Vespa use the vectors of
    --encoder (without it only lexical ranking is evaluated); an answer with partial coverage is
    an error.
    """
    ks = parse_counts(cutoffs, "cutoff")
    from eval.evaluate import Options
    from eval.report.columns import seeds_table
    from eval.report.summary import summary
    from rocosearch.pipeline import evaluate
    from rocosearch.vespa_jobs import Server, evaluate_server

    server = Server(index, package, config_url)
    options = Options(
        protocols=tuple(protocol or ()),
        profiles=tuple(profile or ()),
        ks=ks,
        split=split,
        scope=pool,
        metric=metric,
        baseline=baseline,
        runs=tuple(run or ()),
        pooling=pooling,
        judgements=judgements,
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
                seeds=tuple(seed_index or ()),
                progress=progress,
            )
    if as_json:
        show_json(evaluation.metrics())
        return
    show(evaluation.table())
    if evaluation.seeds:
        show(seeds_table(evaluation.seeds))
    for sentence in summary(evaluation):
        note = sentence in evaluation.notes
        say(sentence, style="yellow" if note else None)
    results.print(f"Report: {out / 'report.html'}")
