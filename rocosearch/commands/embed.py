"""`rocosearch embed`: compute image vectors of a corpus, at once or in parts on many machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch embed build/corpus build/encoder
rocosearch embed build/corpus build/encoder --part 0/4
"""


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    *,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Only part I of N, counted from 0.")
    ] = "0/1",
    as_json: AsJson = False,
) -> None:
    """Compute the missing image vectors of a corpus; index and feed do this too.

    Each part is a separate job that can be killed and repeated, so any scheduler can distribute
    the parts over machines with access to the corpus folder.
    """
    from rocosearch.pipeline import embed_images

    with progress_bars() as progress:
        report = embed_images(corpus, encoder, part=part, progress=progress)
    if as_json:
        show_json(asdict(report))
        return
    results.print(
        f"{report.embedded:,} images embedded, {report.present:,} already had a vector, "
        f"{report.without_image:,} records have no image."
    )
