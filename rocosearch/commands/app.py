"""`rocosearch app`: the same encoder and profiles as a Vespa application package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson, CaptionEncoder, CellType, OutFolder, ProfilesFile

if TYPE_CHECKING:
    from vespa_app.deploy.changes import Change

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch app build/index build/app
rocosearch app build/index build/app --nodes 4 --redundancy 2 --cell-type bfloat16
rocosearch app build/index build/app-new --previous build/app
rocosearch app build/index build/app-new --previous build/app --links 32 --allow
"""
NO_EFFECT = (NoEffect("--allow", "without --previous"),)

VECTORS = "Vector fields"
CLUSTER = "Machines"
Distances = Literal["prenormalized-angular", "angular", "dotproduct", "euclidean"]


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An index (provides encoder, profiles and statistics) or an encoder folder.",
        ),
    ],
    out: OutFolder,
    *,
    profiles: ProfilesFile = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(metavar="ENCODER", help="Another encoder beside the current one; repeatable."),
    ] = None,
    caption_encoder: CaptionEncoder = None,
    previous: Annotated[
        Path | None,
        typer.Option(metavar="APP", help="Print what a deploy over this older package would need."),
    ] = None,
    allow: Annotated[
        bool,
        typer.Option(
            "--allow",
            help="With --previous: let Vespa accept the changes, for 29 days.",
        ),
    ] = False,
    embedding: Annotated[
        Literal["vespa", "client"], typer.Option(help="Where query texts are embedded.")
    ] = "vespa",
    summary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FIELD,FIELD", help="An additional summary class; repeatable."),
    ] = None,
    cell_type: Annotated[
        CellType, typer.Option(rich_help_panel=VECTORS, help="Cell type of the vectors.")
    ] = "float",
    distance: Annotated[
        Distances, typer.Option(rich_help_panel=VECTORS, help="Distance metric.")
    ] = "prenormalized-angular",
    hnsw: Annotated[
        bool,
        typer.Option(
            rich_help_panel=VECTORS, help="Use an HNSW graph; without it every search is exact."
        ),
    ] = True,
    links: Annotated[
        int, typer.Option(rich_help_panel=VECTORS, help="Links per node of the HNSW graph.")
    ] = 16,
    explore: Annotated[
        int, typer.Option(rich_help_panel=VECTORS, help="Neighbours explored on insert.")
    ] = 200,
    paged: Annotated[
        bool, typer.Option("--paged", rich_help_panel=VECTORS, help="Vectors may be paged to disk.")
    ] = False,
    approximate: Annotated[
        float | None,
        typer.Option(
            "--exact-below",
            rich_help_panel=VECTORS,
            help="Search exactly if a filter keeps less than this share; default: Vespa's.",
        ),
    ] = None,
    post_filter: Annotated[
        float | None,
        typer.Option(
            "--post-filter-above",
            rich_help_panel=VECTORS,
            help="Filter after the search if a filter keeps more than this share; default: "
            "Vespa's.",
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(rich_help_panel=CLUSTER, help="Content nodes.")] = 1,
    groups: Annotated[
        int, typer.Option(rich_help_panel=CLUSTER, help="Groups of content nodes.")
    ] = 1,
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
        str,
        typer.Option(
            rich_help_panel=CLUSTER, metavar="PATTERN", help="Pattern for the host names."
        ),
    ] = "{role}{number}",
    disk_limit: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=CLUSTER,
            help="Share of a content node's disk at which feeding is blocked; default: Vespa's.",
        ),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(rich_help_panel=CLUSTER, help="The same for its memory."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the Vespa application package with the evaluated encoder and profiles.

    OUT gets services.xml, the schema with every rank profile, the exported text tower as an
    embedder, and query profile defaults; with several machines also hosts.xml.
    """
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
            caption_encoder=caption_encoder,
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
        results.print(f"A deploy over {previous} needs nothing: the packages are equivalent.")
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
