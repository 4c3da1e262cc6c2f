"""Command-line options shared by several commands, and their parsers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ranking.types import Attribute, Filter, Sort

__all__ = [
    "AsJson",
    "CaptionEncoder",
    "CaptionMissing",
    "CaptionVectors",
    "CellType",
    "ConfigUrl",
    "CorpusFolder",
    "Cutoffs",
    "DeployedPackage",
    "EncoderFolder",
    "IndexFolder",
    "IndexOrUrl",
    "Layout",
    "OptionalEncoder",
    "OutFolder",
    "OwnFields",
    "OwnFieldsFile",
    "ProfilesFile",
    "Studies",
    "SynonymsFile",
    "parse_attributes",
    "parse_counts",
    "parse_filters",
    "parse_sort",
]

CellType = Literal["float", "bfloat16", "int8"]
Layout = Literal[
    "auto", "roco", "dicom", "imageclef", "imagefolder", "parquet", "table", "phantoms", "cines"
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
    typer.Option(
        "--app", metavar="APP", help="Deployed package; default: read from the config server."
    ),
]
ConfigUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Config server; default: port 19071 of URL's host."),
]
OutFolder = Annotated[
    Path,
    typer.Argument(
        metavar="OUT", help="Folder to write; replaced only when the new one is complete."
    ),
]
EncoderFolder = Annotated[
    Path, typer.Argument(metavar="ENCODER", help="Folder written by `rocosearch train`.")
]
OptionalEncoder = Annotated[
    Path | None,
    typer.Option(
        "--encoder",
        metavar="ENCODER",
        help="Folder written by `rocosearch train`, or an index, whose encoders are taken.",
    ),
]
CaptionVectors = Annotated[
    bool,
    typer.Option("--caption-vectors", help="Captions have a vector too, of the text tower."),
]
CaptionEncoder = Annotated[
    Path | None,
    typer.Option(
        "--caption-encoder",
        metavar="ENCODER",
        help="Captions have a vector too, of this encoder's text tower; may be `minilm`, or a "
        "downloaded BERT.",
    ),
]
CaptionMissing = Annotated[
    bool,
    typer.Option(
        "--caption-missing",
        help="Images without a caption are ranked by predicted words too: those of `rocosearch "
        "label`, which runs first if the corpus has none of this encoder.",
    ),
]
Studies = Annotated[
    bool,
    typer.Option("--studies", help="A document is a case, or a file of frames, not an image."),
]
ProfilesFile = Annotated[
    Path | None,
    typer.Option(
        "--profiles",
        metavar="FILE",
        help="Rank profiles (TOML) to use instead of those of the index; see docs/profiles.md.",
    ),
]
OwnFields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME:TYPE",
        help="A field of your own, as age:int or seen:date=StudyDate; may be repeated.",
    ),
]
OwnFieldsFile = Annotated[
    Path | None,
    typer.Option("--fields", metavar="FILE", help="Fields of your own (TOML); see docs/fields.md."),
]
SynonymsFile = Annotated[
    Path | None,
    typer.Option(
        "--synonyms",
        metavar="FILE",
        help="Search other words for those of TEXT too (Solr's format); see docs/text.md.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, for programs.")
]


def parse_filters(values: Sequence[str], *, exclude: bool = False) -> tuple[Filter, ...]:
    """Parse "modality=ct,mri" or "age>=60"; raise typer.BadParameter for anything else.

    exclude: conditions that a hit must not meet.
    """
    from ranking.attributes import AttributeFault, read_condition  # noqa: PLC0415 - not for --help

    found = []
    for value in values:
        try:
            condition = read_condition(value.strip(), exclude=exclude)
        except AttributeFault as fault:
            raise typer.BadParameter(str(fault)) from None
        listed = (part.strip() for part in condition.values[0].split(","))
        parts = tuple(part for part in listed if part)
        if not parts:
            raise typer.BadParameter(f"{value!r} names no value.")
        found.append(replace(condition, values=parts))
    return tuple(found)


def parse_sort(value: str | None) -> Sort | None:
    """Parse "modality" or "-modality" (descending)."""
    from ranking.types import Sort  # noqa: PLC0415 - not for --help

    return (
        None if value is None else Sort(value.removeprefix("-"), descending=value.startswith("-"))
    )


def parse_attributes(file: Path | None, listed: Sequence[str]) -> tuple[Attribute, ...]:
    """Custom fields, those of a fields.toml and those of --field.

    Raises AttributeFault for invalid and for duplicate fields.
    """
    from ranking.attributes import (  # noqa: PLC0415 - not for --help
        by_name,
        parse_attribute,
        read_attributes,
    )

    told = read_attributes(file) if file else ()
    return by_name((*told, *map(parse_attribute, listed)))


def parse_counts(value: str, called: str) -> tuple[int, ...]:
    """Parse "1,5,10" as (1, 5, 10); raise typer.BadParameter for anything else.

    called: the name of such a number, for that message.
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
