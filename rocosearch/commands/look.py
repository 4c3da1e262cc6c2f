"""`rocosearch look`: learning curves, similarities, neighbours and heat maps of an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder, OutFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch look build/corpus build/encoder build/pictures
rocosearch look build/corpus build/encoder build/pictures --text "ring lesion in the left chest"
rocosearch look build/corpus build/encoder build/pictures --image phantom-test-00000-ct
"""


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    out: OutFolder,
    *,
    text: Annotated[
        str, typer.Option(metavar="TEXT", help="Query text; default: the image's caption.")
    ] = "",
    image: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Image for the heat map; default: the nearest to the text."
        ),
    ] = "",
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the images.")] = "validation",
    pairs: Annotated[
        int, typer.Option(min=2, max=40, help="Random pairs in the similarity matrix.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed for random choices.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw learning curves, similarities, neighbours and heat maps of an encoder.

    curves.png: loss, accuracy, temperature and validation. similarities.png: captions against
    images. neighbours.png: the nearest images of a text and of an image. heatmap.png: where the
    encoder finds the text in an image. A heat map is no diagnosis.
    """
    from rocosearch.encoder_pictures import look

    with progress_bars() as progress:
        written = look(
            corpus,
            encoder,
            out,
            text=text,
            image=image,
            split=split,
            pairs=pairs,
            seed=seed,
            progress=progress,
        )
    if as_json:
        show_json({"pictures": [str(path) for path in written]})
        return
    for path in written:
        results.print(str(path), markup=False, soft_wrap=True)
