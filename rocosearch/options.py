"""Options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "AsJson",
    "CellType",
    "ConfigUrl",
    "CorpusFolder",
    "Cutoffs",
    "DeployedPackage",
    "IndexFolder",
    "IndexOrUrl",
    "Layout",
    "OptionalEncoder",
    "OutFolder",
    "ProfilesFile",
    "parse_counts",
]

CellType = Literal["float", "bfloat16", "int8"]
Layout = Literal[
    "auto", "roco", "dicom", "imageclef", "imagefolder", "parquet", "table", "phantoms"
]

CorpusFolder = Annotated[
    Path, typer.Argument(metavar="CORPUS", help="Folder written by `rocosearch corpus`.")
]
IndexFolder = Annotated[
    Path, typer.Argument(metavar="INDEX", help="Folder written by `rocosearch index`.")
]
IndexOrUrl = Annotated[
    str,
    typer.Argument(metavar="INDEX|URL", help="Folder of an index, or a running Vespa's URL."),
]
DeployedPackage = Annotated[
    Path | None,
    typer.Option("--app", metavar="APP", help="Package deployed there; else it is asked for."),
]
ConfigUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Config server to ask; port 19071 of URL's host if none."),
]
OutFolder = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="Folder to write; replaced only when the new one is whole."),
]
OptionalEncoder = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="ENCODER", help="Folder written by `rocosearch train`."),
]
ProfilesFile = Annotated[
    Path | None,
    typer.Option(
        "--profiles",
        metavar="FILE",
        help="Rank profiles (TOML) to use instead of those of the index; see docs/profiles.md.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")
]


def parse_counts(value: str, called: str) -> tuple[int, ...]:
    """Read "1,5,10" as (1, 5, 10); raise typer.BadParameter where it is something else.

    called: what one of the numbers is, for that message.
    """
    try:
        counts = tuple(sorted({int(part) for part in value.split(",")}))
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a list of numbers such as 1,5,10.") from None
    if counts[0] < 1:
        raise typer.BadParameter(f"{value!r} has a {called} below 1.")
    return counts


Cutoffs = Annotated[
    str,
    typer.Option("-k", metavar="1,5,10", help="Cutoffs of the metrics, separated by commas."),
]
