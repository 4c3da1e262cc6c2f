"""`rocosearch corpus`: read a source once, keep what can be used, say what cannot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, Layout, OutFolder

if TYPE_CHECKING:
    from ingest.corpus.manifest import CorpusManifest

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch corpus phantoms:2700 build/corpus
rocosearch corpus ~/roco/data/test/radiology build/roco --format roco
rocosearch corpus ~/export build/hospital --format dicom
"""


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder or file to read, or phantoms:N for N drawn images."
        ),
    ],
    out: OutFolder,
    *,
    layout: Annotated[
        Layout, typer.Option("--format", help="Layout of the source; auto looks at its files.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Read captioned images into a corpus: Parquet files and a manifest.

    Every row that cannot be used is counted, named and written to OUT/rejected.parquet with
    its reason. Splits are the source's own, or drawn by article, case, study and patient.
    """
    from rocosearch.pipeline import build_corpus

    with progress_bars() as progress:
        corpus = build_corpus(source, out, layout=layout, progress=progress)
    manifest = corpus.manifest
    if as_json:
        show_json({"corpus": str(out), **asdict(manifest)})
        return
    splits = ", ".join(f"{name or 'none'} {count:,}" for name, count in manifest.splits.items())
    results.print(
        f"{out}: {manifest.records:,} records, {manifest.images:,} with an image; {splits} "
        f"(splits {manifest.split_rule})."
    )
    _show_splits(manifest)
    _show_losses("Rejected", manifest.rejected, out)
    _show_losses("Of kept rows", manifest.lost_parts, out)
    if manifest.duplicates:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in manifest.duplicates.items())
        results.print(f"Kept, but repeated: {kinds}. Pairs in {out / 'duplicates.parquet'}.")


def _show_splits(manifest: CorpusManifest) -> None:
    if manifest.groups_across_splits:
        results.print(
            "Groups (patients, studies, cases, articles) that the source puts into several splits: "
            f"{manifest.groups_across_splits:,}. They are left there, as published."
        )
    absent = [name for name in ("validation", "test") if name not in manifest.splits]
    if absent and manifest.split_rule == "drawn":
        results.print(
            f"No {' and no '.join(absent)} split: there are too few records that share no group, "
            "image or caption."
        )


def _show_losses(title: str, losses: dict[str, int], out: Path) -> None:
    if not losses:
        return
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in losses.items())
    results.print(f"{title}: {reasons}. Row by row in {out / 'rejected.parquet'}.")
