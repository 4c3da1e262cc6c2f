"""`rocosearch corpus`: read a data set; keep usable rows and report the others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rocosearch.console import progress_bars, say, show_json, tell, visible
from rocosearch.options import (
    AsJson,
    Layout,
    OutFolder,
    OwnFields,
    OwnFieldsFile,
    parse_attributes,
)

if TYPE_CHECKING:
    from ingest.corpus.manifest import CorpusManifest

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch corpus phantoms:2700 build/corpus
rocosearch corpus ~/roco/data/test/radiology build/roco --format roco
rocosearch corpus ~/export build/hospital --format dicom
rocosearch corpus https://pacs.example/dicom-web build/pacs --mask-text
rocosearch corpus ~/reports build/own --field "age:int=patient age" --field seen:date
rocosearch corpus ~/befunde build/mine --caption-column Befund --caption-column Beurteilung
"""


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder or file, a DICOMweb URL, or phantoms:N for N generated images.",
        ),
    ],
    out: OutFolder,
    *,
    layout: Annotated[
        Layout,
        typer.Option("--format", help="Layout of the source; auto detects it from the files."),
    ] = "auto",
    image_column: Annotated[
        str, typer.Option(help="Table column with image names, instead of the detected one.")
    ] = "",
    caption_column: Annotated[
        list[str] | None,
        typer.Option(help="Column with captions; repeatable, the texts are joined."),
    ] = None,
    group_column: Annotated[
        str, typer.Option(help="Column that groups images: a case, a study.")
    ] = "",
    split_column: Annotated[
        str, typer.Option(help="Column with the split: train, validation, test.")
    ] = "",
    encoding: Annotated[
        str,
        typer.Option(
            help="Encoding of text tables: utf-8, utf-16, cp1252, ...; default: detected."
        ),
    ] = "",
    separator: Annotated[
        str, typer.Option(help="Separator of text tables: tab, comma, semicolon or bar.")
    ] = "",
    field: OwnFields = None,
    fields: OwnFieldsFile = None,
    splits: Annotated[
        Literal["auto", "source", "draw"],
        typer.Option(
            help="Keep the source's splits, or draw new ones; auto draws if there is only train."
        ),
    ] = "auto",
    frames: Annotated[
        str, typer.Option(help="Frames of multi-frame DICOM files: middle, all, or a number.")
    ] = "middle",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key file for DICOM pseudonyms, created if missing; default OUT.key.",
        ),
    ] = None,
    find_text: Annotated[
        bool, typer.Option("--find-text", help="Detect text in the pixels of DICOM files.")
    ] = False,
    mask_text: Annotated[
        bool, typer.Option("--mask-text", help="Detect it, and cover it with black boxes.")
    ] = False,
    allow_partial: Annotated[
        bool,
        typer.Option("--allow-partial", help="Exit with 0 even if most rows were not matched."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read captioned images into a corpus: Parquet files and a manifest.

    OUT/rejected.parquet lists every unusable row with its reason. Splits are the source's own, or
    drawn by article, case, study and patient.
    """
    from ingest.corpus.matching import shortfall
    from ingest.sources.columns import Reading
    from rocosearch.pipeline import build_corpus

    reading = Reading(
        image_column, tuple(caption_column or ()), group_column, split_column, encoding, separator
    )
    rule: Literal["auto", "source", "drawn"] = "drawn" if splits == "draw" else splits
    with progress_bars() as progress:
        corpus = build_corpus(
            source,
            out,
            layout=layout,
            reading=reading,
            splits=rule,
            frames=_frames(frames),
            key=key,
            text="mask" if mask_text else "find" if find_text else "",
            attributes=parse_attributes(fields, field or ()),
            progress=progress,
        )
    if as_json:
        show_json({"corpus": str(out), **asdict(corpus.manifest)})
    else:
        _show(corpus.manifest, out)
    short = "" if allow_partial else shortfall(corpus)
    if short:
        say(f"{visible(short)} --allow-partial accepts this.", style="red")
        raise typer.Exit(1)


def _frames(value: str) -> str | int:
    if value in ("middle", "all"):
        return value
    if value.isdecimal() and int(value):
        return int(value)
    raise typer.BadParameter(f"{value!r} is not middle, all, or a number above 0.")


def _show(manifest: CorpusManifest, out: Path) -> None:
    if manifest.recognised:
        tell(f"Read as {manifest.source_format}: {manifest.recognised}.")
    splits = ", ".join(f"{name or 'none'} {count:,}" for name, count in manifest.splits.items())
    tell(
        f"{out}: {manifest.records:,} records, {manifest.images:,} with an image; {splits} "
        f"(splits {manifest.split_rule})."
    )
    if manifest.fields:
        own = (f"{f.name} ({f.type}) {manifest.filled[f.name]:,}" for f in manifest.fields)
        tell(f"Records with a value of custom fields: {', '.join(own)}.")
    _show_splits(manifest)
    _show_losses("Rejected", manifest.rejected, out)
    _show_losses("Of kept rows", manifest.lost_parts, out)
    if manifest.duplicates:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in manifest.duplicates.items())
        tell(f"Kept duplicates: {kinds}. They are listed in {out / 'duplicates.parquet'}.")


def _show_splits(manifest: CorpusManifest) -> None:
    if manifest.groups_across_splits:
        tell(
            "Groups (patients, studies, cases, articles) in several splits of the source: "
            f"{manifest.groups_across_splits:,}. The published splits are kept."
        )
    absent = [name for name in ("validation", "test") if name not in manifest.splits]
    if absent and manifest.split_rule == "drawn":
        tell(
            f"No {' and no '.join(absent)} split: there are too few groups that share no image or "
            "caption."
        )


def _show_losses(title: str, losses: dict[str, int], out: Path) -> None:
    if not losses:
        return
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in losses.items())
    tell(f"{title}: {reasons}. Details: {out / 'rejected.parquet'}.")
