"""`rocosearch parity`: compare an index with the Vespa application written from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, ConfigUrl, DeployedPackage, IndexFolder

if TYPE_CHECKING:
    from rocosearch.live_parity import Parity

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch parity build/index http://localhost:8080
rocosearch parity build/index http://localhost:8080 --app build/app --profile hybrid --queries 500
"""


def command(
    index: IndexFolder,
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of Vespa's query container.")],
    *,
    profile: Annotated[
        list[str] | None, typer.Option(help="Profile to compare, repeatable; default: all.")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Number of captions used as queries.")] = 100,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the choice of captions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the results of an index and a running Vespa, and explain differences.

    Overlap of the best hits, rank correlation, the largest difference of every feature, and
    the causes: documents, statistics, tokens, approximate search, ties.
    """
    from rocosearch.vespa_jobs import Server, compare_with_server

    with progress_bars() as progress:
        parity = compare_with_server(
            index,
            Server(url, package, config_url),
            profiles=profile or (),
            queries=queries,
            seed=seed,
            progress=progress,
        )
    if as_json:
        show_json(parity.summary())
        return
    _show(parity)


def _show(parity: Parity) -> None:
    for where, (count, ids) in (
        ("in the index", parity.only_first),
        ("on the server", parity.only_second),
    ):
        if count:
            results.print(f"Only {where}: {count:,} documents ({', '.join(ids)}, ...).")
    for each in parity.profiles:
        overlap = ", ".join(f"overlap@{cut} {share:.3f}" for cut, share in each.overlap.items())
        results.print(
            f"{each.profile}: {each.queries:,} queries, {overlap}, "
            f"Kendall's tau {each.correlation:.4f}"
        )
        parts = ", ".join(f"{name} {gap:.1e}" for name, gap in each.differences.items())
        results.print(f"  largest relative differences: {parts}")
        for cause, count in parity.explained(each):
            results.print(f"  {count:,} queries: {cause}")
