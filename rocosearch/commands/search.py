"""`rocosearch search`: text, an image, or both, against an index."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from rocosearch.console import results, say, show, show_json, telling_after
from rocosearch.options import (
    AsJson,
    ConfigUrl,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    ProfilesFile,
)

if TYPE_CHECKING:
    from ranking.types import Hit, Result

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch search build/index "ring lesion in the left chest"
rocosearch search build/index --image query.png --profile vector -k 5
rocosearch search http://localhost:8080 "ring lesion in the left chest"
"""
PATIENCE = 4.0  # seconds
CAPTION_WIDTH = 200
INDENT = (0, 0, 0, 5)


def command(
    index: IndexOrUrl,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What to look for, in plain words.")
    ] = None,
    *,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="Find images like this one.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rank profile; the index's default if none.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search an index, or a running Vespa, by text, by image, or by both.

    Words are just words: nothing typed here is an operator. The parts that made up a hit's
    score stand beside it. Vespa embeds texts by itself where its application can; for images,
    name the --encoder.
    """
    if text is None and image is None:
        raise typer.BadParameter("Give TEXT, or --image FILE, or both.")
    from rocosearch.searchers import searching

    with (
        searching(
            index, encoder=encoder, profiles=profiles, package=package, config_url=config_url
        ) as searcher,
        telling_after(PATIENCE, "The first search on a machine compiles its kernels ..."),
    ):
        result = searcher.search(text=text, image=image, profile=profile, k=k)
    for warning in result.warnings:
        say(warning, style="yellow")
    if as_json:
        show_json(_as_json(result))
        return
    if not result:
        results.print("No hit.")
        return
    for rank, hit in enumerate(result, 1):
        _show(rank, hit)
    results.print(f"{len(result)} of {result.total:,} matches.")


def _as_json(result: Result) -> dict[str, object]:
    return {
        "hits": [_hit_as_json(hit) for hit in result],
        "total": result.total,
        "coverage": {
            "percent": result.coverage.percent,
            "documents": result.coverage.documents,
            "degraded": list(result.coverage.degraded),
        },
        "timing": dict(result.timing),
        "warnings": list(result.warnings),
    }


def _hit_as_json(hit: Hit) -> dict[str, object]:
    document = hit.document
    shown = (
        {
            "caption": document.caption,
            "concepts": list(document.concepts),
            "group_id": document.group_id,
            "modality": document.modality,
            "image_url": document.image_url,
        }
        if document
        else {}
    )
    return {"id": hit.id, "score": hit.score, "features": dict(hit.features), **shown}


def _show(rank: int, hit: Hit) -> None:
    results.print(f"{rank:>3}  {hit.score:.4f}  {hit.id}", style="bold", markup=False)
    caption = (hit.document.caption if hit.document else "") or "(no caption)"
    short = textwrap.shorten(caption, CAPTION_WIDTH, placeholder=" ...")
    show(Padding(Text(short), INDENT), wrap=True)
    parts = "  ".join(f"{name} {value:.3f}" for name, value in hit.features.items())
    show(Padding(Text(parts, style="dim"), INDENT), wrap=True)
