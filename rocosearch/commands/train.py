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
    *,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Towers and recipe: tiny, small, vit-small or clip-vit-b-32 (docs/encoders.md).",
        ),
    ] = "tiny",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Times through the pairs; the preset's if none.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this long; no limit if none.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda, ...; auto takes a GPU if any.")
    ] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a CLIP (image tower, text tower, one space) on the corpus's training split.

    Validation MRR@10 stops it early and the best checkpoint is kept. OUT holds weights
    (safetensors), tokenizer, encoder.json (the manifest) and training.csv (the curves).
    """
    from rocosearch.pipeline import train_encoder

    changes: dict[str, object] = {"seed": seed, "device": device}
    if epochs:
        changes["epochs"] = epochs
    if minutes:
        changes["max_seconds"] = minutes * 60
    with progress_bars() as progress:
        trained = train_encoder(
            corpus, out, preset=preset, resume=resume, progress=progress, **changes
        )
    if as_json:
        show_json(trained.summary())
        return
    results.print(trained.sentence())
