"""`rocosearch corpus`: read a source once, keep what can be used, say what cannot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rocosearch.console import progress_bars, say, show_json, tell, visible
from rocosearch.options import AsJson, Layout, OutFolder

if TYPE_CHECKING:
    from ingest.corpus.manifest import CorpusManifest

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch corpus phantoms:2700 build/corpus
rocosearch corpus ~/roco/data/test/radiology build/roco --format roco
rocosearch corpus ~/export build/hospital --format dicom
rocosearch corpus https://pacs.example/dicom-web build/pacs --mask-text
rocosearch corpus ~/befunde build/mine --caption-column Befund --caption-column Beurteilung
"""


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder or file, a DICOMweb URL, or phantoms:N for N drawn images.",
        ),
    ],
    out: OutFolder,
    *,
    layout: Annotated[
        Layout, typer.Option("--format", help="Layout of the source; auto looks at its files.")
    ] = "auto",
    image_column: Annotated[
        str, typer.Option(help="Column of a table that names images, in place of the one found.")
    ] = "",
    caption_column: Annotated[
        list[str] | None, typer.Option(help="Column of captions; of several the texts are joined.")
    ] = None,
    group_column: Annotated[
        str, typer.Option(help="Column of what belongs together: a case, a study.")
    ] = "",
    split_column: Annotated[str, typer.Option(help="Column of train, validation, test.")] = "",
    encoding: Annotated[
        str, typer.Option(help="Of text tables: utf-8, utf-16, cp1252, ...; recognised if none.")
    ] = "",
    separator: Annotated[
        str, typer.Option(help="Of text tables: tab, comma, semicolon or bar.")
    ] = "",
    splits: Annotated[
        Literal["auto", "source", "draw"],
        typer.Option(
            help="Keep the source's splits, or draw them; auto draws where only train is."
        ),
    ] = "auto",
    frames: Annotated[
        str, typer.Option(help="Of DICOM files with several frames: middle, all, or how many.")
    ] = "middle",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Key of pseudonyms for DICOM; made if new. OUT.key if none."
        ),
    ] = None,
    find_text: Annotated[
        bool, typer.Option("--find-text", help="Look for text in the pixels of DICOM files.")
    ] = False,
    mask_text: Annotated[
        bool, typer.Option("--mask-text", help="Look for it, and cover it with black boxes.")
    ] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Exit 0 also where most was not matched.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read captioned images into a corpus: Parquet files and a manifest.

    Every row that cannot be used is counted, named and written to OUT/rejected.parquet with
    its reason. Splits are the source's own, or drawn by article, case, study and patient.
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
            progress=progress,
        )
    if as_json:
        show_json({"corpus": str(out), **asdict(corpus.manifest)})
    else:
        _show(corpus.manifest, out)
    short = "" if allow_partial else shortfall(corpus)
    if short:
        say(f"{visible(short)} --allow-partial takes it as it is.", style="red")
        raise typer.Exit(1)


def _frames(value: str) -> str | int:
    if value in ("middle", "all"):
        return value
    if value.isdecimal() and int(value):
        return int(value)
    raise typer.BadParameter(f"{value!r} is none of middle, all, or a number above 0.")


def _show(manifest: CorpusManifest, out: Path) -> None:
    if manifest.recognised:
        tell(f"Read as {manifest.source_format}: {manifest.recognised}.")
    splits = ", ".join(f"{name or 'none'} {count:,}" for name, count in manifest.splits.items())
    tell(
        f"{out}: {manifest.records:,} records, {manifest.images:,} with an image; {splits} "
        f"(splits {manifest.split_rule})."
    )
    _show_splits(manifest)
    _show_losses("Rejected", manifest.rejected, out)
    _show_losses("Of kept rows", manifest.lost_parts, out)
    if manifest.duplicates:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in manifest.duplicates.items())
        tell(f"Kept, but repeated: {kinds}. Pairs in {out / 'duplicates.parquet'}.")


def _show_splits(manifest: CorpusManifest) -> None:
    if manifest.groups_across_splits:
        tell(
            "Groups (patients, studies, cases, articles) that the source puts into several splits: "
            f"{manifest.groups_across_splits:,}. They are left there, as published."
        )
    absent = [name for name in ("validation", "test") if name not in manifest.splits]
    if absent and manifest.split_rule == "drawn":
        tell(
            f"No {' and no '.join(absent)} split: there are too few records that share no group, "
            "image or caption."
        )


def _show_losses(title: str, losses: dict[str, int], out: Path) -> None:
    if not losses:
        return
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in losses.items())
    tell(f"{title}: {reasons}. Row by row in {out / 'rejected.parquet'}.")
