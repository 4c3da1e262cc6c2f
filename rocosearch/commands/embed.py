"""`rocosearch embed`: vectors of a corpus's images, alone or in parts on many machines."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CorpusFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch embed build/corpus build/encoder
rocosearch embed build/corpus build/encoder --part 0/4
"""


def command(
    corpus: CorpusFolder,
    encoder: Annotated[
        Path, typer.Argument(metavar="ENCODER", help="Folder written by `rocosearch train`.")
    ],
    *,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Only the I-th of N parts, counted from 0.")
    ] = "0/1",
    as_json: AsJson = False,
) -> None:
    """Embed the images that this encoder has not embedded yet; index and feed do it too.

    Each part is a job of its own that can be killed and run again, so any scheduler can spread
    them over machines that share the corpus's folder.
    """
    from rocosearch.pipeline import embed_images

    with progress_bars() as progress:
        report = embed_images(corpus, encoder, part=part, progress=progress)
    if as_json:
        show_json(asdict(report))
        return
    results.print(
        f"{report.embedded:,} embedded, {report.present:,} were there already, "
        f"{report.without_image:,} records have no image."
    )
