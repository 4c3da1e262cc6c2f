"""`rocosearch plan`: estimate the machines for a corpus of any size."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import results, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson, CellType

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch plan --documents 1e9 --dim 512
rocosearch plan --documents 5e7 --dim 512 --cell-type bfloat16 --redundancy 2 --out build/plan
"""
NO_EFFECT = (
    NoEffect("--share", "without --out", "since no file is written"),
    NoEffect("--cell-type --links --paged", "without --vectors"),
)


def command(
    *,
    documents: Annotated[float, typer.Option(min=1, help="Number of images, such as 1e9.")],
    dimension: Annotated[int, typer.Option("--dim", min=1, help="Length of the vectors.")],
    cell_type: Annotated[CellType, typer.Option(help="Cell type of the vectors.")] = "float",
    redundancy: Annotated[int, typer.Option(min=1, help="Copies of each document.")] = 2,
    groups: Annotated[int, typer.Option(min=1, help="Groups, each with the whole corpus.")] = 1,
    links: Annotated[int, typer.Option(min=2, help="Links per node of the HNSW graph.")] = 16,
    vectors: Annotated[
        int, typer.Option(min=0, help="Number of vector fields; 2 during a swap.")
    ] = 1,
    caption_bytes: Annotated[int, typer.Option(min=0, help="Mean length of a caption.")] = 150,
    paged: Annotated[bool, typer.Option("--paged", help="Vectors may be paged to disk.")] = False,
    memory: Annotated[float, typer.Option(min=1, help="GiB of memory of a content node.")] = 128.0,
    disk: Annotated[float, typer.Option(min=1, help="GiB of disk of a content node.")] = 2000.0,
    cores: Annotated[int, typer.Option(min=1, help="Cores of a content node.")] = 16,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write services.xml and hosts.xml here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate memory, disk, nodes and hours of feeding for a Vespa cluster.

    The formulas and their sources are in docs/scale.md. They are first estimates: before you
    buy machines, feed one percent of the corpus into one node and compare.
    """
    from rocosearch.outputs import check_replaceable
    from vespa_app.package.plan import Load, Machine, plan, plan_files, write_plan

    if out:
        check_replaceable(out, "services.xml", "a plan's folder")

    load = Load(
        documents=int(documents),
        dimension=dimension,
        cell_type=cell_type,
        redundancy=redundancy,
        groups=groups,
        links=links,
        vectors=vectors,
        caption_bytes=caption_bytes,
        paged=paged,
    )
    planned = plan(load, Machine(memory, disk, cores))
    if out:
        write_plan(planned, out)
    if as_json:
        totals = {"memory_gib": planned.memory_gib, "disk_gib": planned.disk_gib}
        show_json({**asdict(planned), **totals})
        return
    fewest = planned.nodes <= redundancy
    reason = "the minimum" if fewest else f"bound by {planned.bound_by}"
    results.print(
        f"{load.documents:,} documents, {redundancy} copies of each: {planned.nodes:,} content "
        f"{'node' if planned.nodes == 1 else 'nodes'}, {reason}; "
        f"{size(planned.memory_gib)} of memory, {size(planned.disk_gib)} of disk, "
        f"{duration(planned.feed_hours)} to feed."
    )
    results.print(
        f"One copy of a document: {planned.memory_per_document:,.0f} bytes of memory, "
        f"{planned.disk_per_document:,.0f} bytes of disk; {planned.documents_per_node:,} copies "
        "per node."
    )
    if out:
        results.print(f"Written to {out}: {', '.join(plan_files(planned))}.")


def size(gib: float) -> str:
    """Format in a readable unit: 1,953 GiB, 7.6 GiB, 31 MiB."""
    for unit, value in (("GiB", gib), ("MiB", gib * 1024)):
        if value >= 1:
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return "under 1 MiB"


def duration(hours: float) -> str:
    """Format in a readable unit."""
    for unit, value in (("hours", hours), ("minutes", hours * 60), ("seconds", hours * 3600)):
        if value >= 1:
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return "under a second"
