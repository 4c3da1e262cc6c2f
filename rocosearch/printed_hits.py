"""Print hits: one ranking, or several side by side; as text or JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rocosearch.console import results, say, show, show_json, tell, visible

if TYPE_CHECKING:
    from ranking.types import Hit, Result
    from rocosearch.page.pictures import Pictures

__all__ = ["print_parts", "print_rankings", "print_result"]

CAPTION_WIDTH = 200
INDENT = (0, 0, 0, 5)


def print_result(
    result: Result, profile: str, pictures: Pictures | None, *, as_json: bool, first: int
) -> None:
    """Print one ranking. first: rank of the first hit."""
    _warn(result)
    if as_json:
        show_json(_as_json(result, profile, pictures))
        return
    if not result:
        results.print("No hit.")
        return
    for rank, hit in enumerate(result, first):
        _show(rank, hit)
    tell(f"{len(result)} of {result.total:,} matches.")
    _print_facets(result)


def print_rankings(
    rankings: Mapping[str, Result | str],
    pictures: Pictures | None,
    *,
    as_json: bool,
    first: int,
) -> None:
    """Print several rankings side by side; a text says why its ranking cannot answer."""
    answered = {name: found for name, found in rankings.items() if not isinstance(found, str)}
    for result in answered.values():
        _warn(result)
    if as_json:
        lists = [
            {"profile": name, "error": found, "hits": []}
            if isinstance(found, str)
            else _as_json(found, name, pictures)
            for name, found in rankings.items()
        ]
        show_json({"lists": lists})
        return
    table = Table("", *rankings, box=None, pad_edge=False, header_style="bold")
    columns = [
        [found] if isinstance(found, str) else [f"{hit.id}  {hit.score:.4f}" for hit in found]
        for found in rankings.values()
    ]
    for rank, row in enumerate(zip_longest(*columns, fillvalue=""), first):
        table.add_row(str(rank), *row)
    show(table)
    for name, result in answered.items():
        tell(f"{name}: {len(result)} of {result.total:,} matches.")
        _print_facets(result)


def _warn(result: Result) -> None:
    for warning in result.warnings:
        say(warning, style="yellow")


def _print_facets(result: Result) -> None:
    for field, counts in result.facets.items():
        values = ", ".join(f"{value or '(none)'} {count:,}" for value, count in counts.items())
        tell(f"{field}: {values or 'no match has a value'}")


def _as_json(result: Result, profile: str, pictures: Pictures | None) -> dict[str, object]:
    return {
        "profile": profile,
        "hits": [_hit_as_json(hit, pictures) for hit in result],
        "total": result.total,
        "coverage": {
            "percent": result.coverage.percent,
            "documents": result.coverage.documents,
            "degraded": list(result.coverage.degraded),
        },
        "timing": dict(result.timing),
        "facets": {field: dict(counts) for field, counts in result.facets.items()},
        "warnings": list(result.warnings),
    }


def _hit_as_json(hit: Hit, pictures: Pictures | None) -> dict[str, object]:
    document = hit.document
    shown = (
        {
            "caption": document.caption,
            "concepts": list(document.concepts),
            "group_id": document.group_id,
            "modality": document.modality,
            "image_url": document.image_url,
            **document.attributes,
        }
        if document
        else {}
    )
    path = {"path": pictures.path(hit.picture)} if pictures else {}
    frames = {"closest": dict(hit.closest), "frames": dict(hit.frames)} if hit.closest else {}
    features = {"features": dict(hit.features), **frames}
    chance = {} if math.isnan(hit.probability) else {"probability": hit.probability}
    return {"id": hit.id, "score": hit.score, **chance, **features, **shown, **path}


def _show(rank: int, hit: Hit) -> None:
    results.print(f"{rank:>3}  {hit.score:.4f}  {visible(hit.id)}", style="bold")
    caption = (hit.document.caption if hit.document else "") or "(no caption)"
    short = textwrap.shorten(caption, CAPTION_WIDTH, placeholder=" ...")
    show(Padding(Text(visible(short)), INDENT), wrap=True)
    chance = "" if math.isnan(hit.probability) else f"probability {hit.probability:.2f}"
    print_parts(hit.features, chance, *(_closest(each) for each in hit.closest.values() if each))


def print_parts(features: Mapping[str, float], first: str, *more: str) -> None:
    """Print the parts of a score, between two texts."""
    told = "  ".join(f"{name} {value:.3f}" for name, value in features.items())
    parts = "  ".join(filter(None, (first, told, *more)))
    show(Padding(Text(parts, style="dim"), INDENT), wrap=True)


def _closest(label: str) -> str:
    """The nearest image of a study: a frame by its number, which stands behind the record's id."""
    image, _, frame = label.rpartition("#")
    return f"best frame {frame} of {visible(image)}" if image else f"best image {visible(label)}"
