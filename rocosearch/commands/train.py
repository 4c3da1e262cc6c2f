"""`rocosearch train`: a CLIP of one's own from a corpus's pairs."""

from __future__ import annotations

from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CorpusFolder, OutFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train build/corpus build/encoder
rocosearch train build/corpus build/encoder --resume
"""


def command(
    corpus: CorpusFolder,
    out: OutFolder,
    preset: Annotated[
        str, typer.Option(help="Size of the towers and length of training; see docs/encoders.md.")
    ] = "tiny",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a CLIP (image tower, text tower, one space) on the corpus's training split.

    Validation MRR@10 stops it early and the best checkpoint is kept. OUT holds weights
    (safetensors), tokenizer, encoder.json (the manifest) and training.csv (the curves).
    """
    from rocosearch.pipeline import train_encoder

    with progress_bars() as progress:
        training = train_encoder(
            corpus, out, preset=preset, resume=resume, seed=seed, progress=progress
        )
    if as_json:
        show_json(training.summary())
        return
    results.print(training.sentence())
