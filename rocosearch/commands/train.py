"""`rocosearch train`: a CLIP of one's own from a corpus's pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, CorpusFolder, OutFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train build/corpus build/encoder
rocosearch train build/corpus build/encoder --resume
rocosearch train build/corpus build/tuned --start clip-vit-base-patch32 --learning-rate 1e-5
"""


def command(
    corpus: CorpusFolder,
    out: OutFolder,
    *,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Towers and recipe: tiny, small, vit-small, clip-vit-b-32 or clip-rn50 "
            "(docs/encoders.md).",
        ),
    ] = "tiny",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Times through the pairs; the preset's if none.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this long; no limit if none.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="ENCODER",
            help="Fine-tune this encoder: a folder of `rocosearch train`, or a downloaded CLIP "
            "(Hugging Face CLIPModel, sentence-transformers clip-ViT-B-32).",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Keep a part as it is: image (the whole tower), text.tokens, ...; repeatable.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0.0, help="Its peak; 1e-5 is usual for fine-tuning a large CLIP."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Pairs that are each other's negatives.")
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="How many the towers see at a time, where memory is short."),
    ] = None,
    concept_epochs: Annotated[
        int | None,
        typer.Option(min=0, help="Epochs before, in which the image tower learns the concepts."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Train each epoch on so many pairs, drawn anew.")
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

    wanted = {
        "epochs": epochs,
        "max_seconds": minutes and minutes * 60,
        "start": start and str(start),
        "freeze": tuple(freeze or ()),
        "learning_rate": learning_rate,
        "batch": batch,
        "micro_batch": micro_batch,
        "concept_epochs": concept_epochs,
        "samples_per_epoch": samples,
        "seed": seed,
        "device": device,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    with progress_bars() as progress:
        trained = train_encoder(
            corpus, out, preset=preset, resume=resume, progress=progress, **changes
        )
    if as_json:
        show_json(trained.summary())
        return
    results.print(trained.sentence())
