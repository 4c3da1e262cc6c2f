"""`rocosearch app`: the same encoder and profiles as a Vespa application package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CellType, OutFolder, ProfilesFile

if TYPE_CHECKING:
    from vespa_app.deploy.changes import Change

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch app build/index build/app
rocosearch app build/index build/app --nodes 4 --redundancy 2 --cell-type bfloat16
rocosearch app build/index build/app-new --previous build/app
rocosearch app build/index build/app-new --previous build/app --links 32 --allow
"""

VECTORS = "Vector fields"
CLUSTER = "Machines"
Distances = Literal["prenormalized-angular", "angular", "dotproduct", "euclidean"]


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An index (its encoder, profiles and statistics are taken) or an encoder folder.",
        ),
    ],
    out: OutFolder,
    *,
    profiles: ProfilesFile = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(metavar="ENCODER", help="Another encoder to stand beside, may be repeated."),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(metavar="APP", help="Tell what a deploy over this older package would need."),
    ] = None,
    allow: Annotated[
        bool,
        typer.Option(
            "--allow",
            help="With --previous: let Vespa accept what the changes need, for 29 days.",
        ),
    ] = False,
    embedding: Annotated[
        Literal["vespa", "client"], typer.Option(help="Where query texts are embedded.")
    ] = "vespa",
    summary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FIELD,FIELD", help="One more summary class, may be repeated."),
    ] = None,
    cell_type: Annotated[
        CellType, typer.Option(rich_help_panel=VECTORS, help="Cells of the vectors.")
    ] = "float",
    distance: Annotated[
        Distances, typer.Option(rich_help_panel=VECTORS, help="Distance metric.")
    ] = "prenormalized-angular",
    hnsw: Annotated[
        bool, typer.Option(rich_help_panel=VECTORS, help="Without it every search is exact.")
    ] = True,
    links: Annotated[
        int, typer.Option(rich_help_panel=VECTORS, help="Links of a node of the HNSW graph.")
    ] = 16,
    explore: Annotated[
        int, typer.Option(rich_help_panel=VECTORS, help="Neighbours looked at on insert.")
    ] = 200,
    paged: Annotated[
        bool, typer.Option("--paged", rich_help_panel=VECTORS, help="Vectors may leave memory.")
    ] = False,
    approximate: Annotated[
        float | None,
        typer.Option(
            "--exact-below",
            rich_help_panel=VECTORS,
            help="Search exactly when a filter leaves less than this share; Vespa's if none.",
        ),
    ] = None,
    post_filter: Annotated[
        float | None,
        typer.Option(
            "--post-filter-above",
            rich_help_panel=VECTORS,
            help="Filter afterwards when a filter leaves more than this share; Vespa's if none.",
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(rich_help_panel=CLUSTER, help="Content nodes.")] = 1,
    groups: Annotated[int, typer.Option(rich_help_panel=CLUSTER, help="Groups of them.")] = 1,
    redundancy: Annotated[
        int, typer.Option(rich_help_panel=CLUSTER, help="Copies of a document, over all groups.")
    ] = 1,
    containers: Annotated[
        int, typer.Option(rich_help_panel=CLUSTER, help="Containers that answer queries.")
    ] = 1,
    config_servers: Annotated[
        int, typer.Option(rich_help_panel=CLUSTER, help="Config servers.")
    ] = 1,
    host: Annotated[
        str, typer.Option(rich_help_panel=CLUSTER, metavar="PATTERN", help="Names of the hosts.")
    ] = "{role}{number}",
    disk_limit: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=CLUSTER,
            help="Share of a content node's disk at which feeding is blocked; Vespa's if none.",
        ),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(rich_help_panel=CLUSTER, help="The same of its memory."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the Vespa application package: what was evaluated is what is deployed.

    OUT gets services.xml, the schema with every rank profile, the exported text tower as an
    embedder, and query profile defaults; hosts.xml too where there are several machines.
    """
    if allow and not previous:
        raise typer.BadParameter("--allow needs --previous APP: what is there decides the needs.")
    from rocosearch.pipeline import write_app
    from vespa_app.deploy.changes import compare, needed_overrides, write_overrides
    from vespa_app.package.options import (
        DEFAULT_SUMMARIES,
        AnnThresholds,
        ClusterOptions,
        PackageOptions,
        VectorOptions,
    )

    options = PackageOptions(
        embedding=embedding,
        vectors=VectorOptions(cell_type, distance, hnsw, links, explore, paged),
        ann=AnnThresholds(approximate, post_filter),
        cluster=ClusterOptions(
            nodes,
            groups,
            redundancy,
            containers,
            config_servers,
            host,
            disk_limit=disk_limit,
            memory_limit=memory_limit,
        ),
        summaries={**DEFAULT_SUMMARIES, **dict(map(_summary, summary or ()))},
    )
    with progress_bars() as progress:
        files = write_app(
            source,
            out,
            profiles=profiles,
            others=also or (),
            options=options,
            progress=progress,
        )
    changes = compare(previous, out) if previous else []
    allowed = write_overrides(out, needed_overrides(changes)) if allow else ()
    if as_json:
        needs = [{"change": c.text, "needs": c.need, "override": c.override} for c in changes]
        show_json({"app": str(out), "files": files, "changes": needs, "allowed": allowed})
        return
    results.print(f"{out}: {len(files)} files.")
    for name in files:
        results.print(f"  {name}")
    if previous:
        _show_changes(previous, changes)
        _show_overrides(needed_overrides(changes), allowed)


def _summary(value: str) -> tuple[str, tuple[str, ...]]:
    name, separator, fields = value.partition("=")
    if not (name and separator and fields):
        raise typer.BadParameter(f"{value!r} is not NAME=FIELD,FIELD.")
    return name, tuple(fields.split(","))


def _show_changes(previous: Path, changes: list[Change]) -> None:
    if not changes:
        results.print(f"A deploy over {previous} needs nothing: the packages do the same.")
        return
    results.print(f"A deploy over {previous} changes:")
    for change in changes:
        override = f" (validation override: {change.override})" if change.override else ""
        results.print(f"  {change.text} Needs: {change.need}.{override}")


def _show_overrides(needed: set[str], allowed: Sequence[str]) -> None:
    if allowed:
        results.print(f"Allowed in validation-overrides.xml: {', '.join(allowed)}.")
    elif needed:
        results.print(f"Vespa refuses this without {', '.join(sorted(needed))}: see --allow.")
