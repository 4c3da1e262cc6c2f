"""`rocosearch train`: a CLIP of one's own from a corpus's pairs, from scratch or fine-tuned."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rocosearch.console import progress_bars, results, say, show_json
from rocosearch.options import AsJson, CorpusFolder, OutFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train build/corpus build/encoder
rocosearch train build/corpus build/encoder --preset small --minutes 30
rocosearch train build/corpus build/encoder --preset small --resume
rocosearch train build/corpus build/tuned --start clip-vit-base-patch32 --learning-rate 1e-5 \
--layer-decay 0.8 --batch 256 --micro-batch 32
rocosearch train build/corpus build/tuned --start build/encoder --learning-rate 3e-4
rocosearch train build/corpus build/locked --start build/encoder --freeze image --learning-rate 3e-4
rocosearch train build/corpus build/encoder --text-tower all-MiniLM-L6-v2 --freeze text.bert
accelerate launch --num_processes 4 -m rocosearch train build/corpus build/encoder
"""

START, LENGTH, RATE = "What to start from", "How long", "How fast"
BATCHES, DATA, CONCEPTS = "Batches and negatives", "Augmentation", "Concepts"
MACHINE = "Machine"


def _option(panel: str, told: str, *names: str, **settings: Any) -> Any:  # noqa: ANN401
    return typer.Option(*names, help=told, rich_help_panel=panel, **settings)


def command(
    corpus: CorpusFolder,
    out: OutFolder,
    *,
    preset: Annotated[
        str,
        _option(
            START,
            "Towers and recipe. tiny: minutes on a laptop. small: half an hour, some thousand "
            "pairs. vit-small, clip-vit-b-32, clip-rn50: a GPU. With --start the towers are that "
            "encoder's, and only the recipe counts (rate, batch, epochs).",
            metavar="NAME",
        ),
    ] = "tiny",
    start: Annotated[
        Path | None,
        _option(
            START,
            "Fine-tune this encoder: a folder of `rocosearch train`, or a downloaded CLIP "
            "(Hugging Face CLIPModel, sentence-transformers clip-ViT-B-32; safetensors).",
            metavar="ENCODER",
        ),
    ] = None,
    text_tower: Annotated[
        Path | None,
        _option(
            START,
            "Put this downloaded BERT, such as all-MiniLM-L6-v2, in place of the text tower "
            "(Hugging Face or sentence-transformers folder; safetensors).",
            metavar="FOLDER",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        _option(
            START,
            "Keep a part as it is: image (the whole tower), text.bert, text.tokens, "
            "image.blocks.0., ...; repeatable. A wrong name lists the parts.",
            metavar="PART",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        _option(START, "Side of the images in pixels, in place of the preset's.", min=16),
    ] = None,
    epochs: Annotated[
        int | None, _option(LENGTH, "Times through the pairs; the preset's if none.", min=1)
    ] = None,
    minutes: Annotated[
        float | None,
        _option(LENGTH, "Stop after this long; the learning rate falls with the clock.", min=0.01),
    ] = None,
    samples: Annotated[
        int | None, _option(LENGTH, "Train each epoch on so many pairs, drawn anew.", min=2)
    ] = None,
    patience: Annotated[
        int | None,
        _option(LENGTH, "Stop after so many epochs without a better one; 0: never.", min=0),
    ] = None,
    ask: Annotated[
        Literal["pair", "caption"] | None,
        _option(
            LENGTH,
            "What validation asks: the caption of every pair (the default), or each caption once; "
            "give caption where some captions stand on many images.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _option(
            RATE,
            "Its peak. From scratch the preset's (tiny 3e-3, small 1e-3) is meant; to fine-tune, "
            "give a lower one: 3e-4 for an encoder of your own, 1e-5 for a large CLIP.",
            min=0,
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        _option(RATE, "Another rate for a part, as text.bert=0.01; repeatable.", metavar="PART=X"),
    ] = None,
    layer_decay: Annotated[
        float | None,
        _option(RATE, "Each layer learns so much slower than the one above, as 0.8.", min=0, max=1),
    ] = None,
    weight_decay: Annotated[
        float | None, _option(RATE, "AdamW's, of matrices only.", min=0)
    ] = None,
    batch: Annotated[
        int | None, _option(BATCHES, "Pairs that are each other's negatives.", min=2)
    ] = None,
    micro_batch: Annotated[
        int | None,
        _option(
            BATCHES, "How many the towers see at a time, where memory is short (slower).", min=1
        ),
    ] = None,
    positives: Annotated[
        Literal["none", "caption", "group"] | None,
        _option(
            BATCHES,
            "Pairs that are no negatives: of an equal caption (the default), also of the same "
            "case or article (group), or none.",
        ),
    ] = None,
    near_captions: Annotated[
        int | None, _option(BATCHES, "Batch pairs of near captions in groups of so many.", min=0)
    ] = None,
    augmentation: Annotated[bool, _option(DATA, "Move and relight images; never a flip.")] = True,
    moved: Annotated[
        float | None,
        _option(DATA, "Share of images that are cropped, turned and shifted.", min=0, max=1),
    ] = None,
    cutout: Annotated[
        float | None, _option(DATA, "Side of a grey square, as a share.", min=0, max=1)
    ] = None,
    sentences: Annotated[
        float | None,
        _option(DATA, "Chance that only some sentences of a caption are taken.", min=0, max=1),
    ] = None,
    word_dropout: Annotated[
        float | None, _option(DATA, "Chance that a word is left out.", min=0, max=1)
    ] = None,
    concept_names: Annotated[
        float | None,
        _option(CONCEPTS, "Chance that a caption gets its concepts' names.", min=0, max=1),
    ] = None,
    concept_epochs: Annotated[
        int | None,
        _option(CONCEPTS, "Epochs before the others in which images learn to name them.", min=0),
    ] = None,
    concept_loss: Annotated[
        Literal["asymmetric", "focal"] | None, _option(CONCEPTS, "What they minimise then.")
    ] = None,
    concept_field: Annotated[
        list[str] | None,
        _option(
            CONCEPTS, "Take this field's values as concepts too: modality, ...", metavar="NAME"
        ),
    ] = None,
    balance_cap: Annotated[
        int | None, _option(CONCEPTS, "At most about so many pairs of a concept an epoch.", min=0)
    ] = None,
    device: Annotated[
        str, _option(MACHINE, "auto (a GPU if any), cpu, cuda, ...", metavar="NAME")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None,
        _option(MACHINE, "auto computes in bfloat16 on a GPU."),
    ] = None,
    seed: Annotated[int, _option(MACHINE, "Seed of weights, order and augmentation.", min=0)] = 0,
    resume: Annotated[
        bool, _option(MACHINE, "Go on where an interrupted training stopped.", "--resume")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a CLIP (image tower, text tower, one space) on the corpus's training split.

    Every option has a default that suits the preset: begin without any. Validation MRR@10
    stops training early, and the best epoch is kept. OUT holds weights (safetensors), tokenizer,
    encoder.json (the manifest), training.csv (the curves) and training.json (the settings).

    To fine-tune, download a model first, name it with --start (a CLIP) or --text-tower (a
    BERT), lower the rate, and lock with --freeze what shall not change.
    """
    from encoders.training.augment import AUGMENTED, NO_AUGMENTATION
    from encoders.training.augment_text import TextAugmentation
    from encoders.training.distributed import leads
    from rocosearch.pipeline import train_encoder

    given = {"share": AUGMENTED.share if moved is None else moved, "cutout": cutout or 0.0}
    wanted = {
        "start": start and str(start),
        "text_tower": text_tower and str(text_tower),
        "freeze": tuple(freeze or ()),
        "image_size": image_size,
        "epochs": epochs,
        "max_seconds": minutes and minutes * 60,
        "samples_per_epoch": samples,
        "patience": patience,
        "ask": ask,
        "learning_rate": learning_rate,
        "rates": tuple(map(_rate, rate or ())),
        "layer_decay": layer_decay,
        "weight_decay": weight_decay,
        "batch": batch,
        "micro_batch": micro_batch,
        "positives": positives,
        "near_captions": near_captions,
        "augmentation": replace(AUGMENTED, **given) if augmentation else NO_AUGMENTATION,
        "text_augmentation": TextAugmentation(
            sentences or 0.0, word_dropout or 0.0, concept_names or 0.0
        ),
        "concept_epochs": concept_epochs,
        "concept_loss": concept_loss,
        "concept_fields": tuple(concept_field or ()),
        "balance_cap": balance_cap,
        "device": device,
        "precision": precision,
        "seed": seed,
    }
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    try:
        with progress_bars() as progress:
            trained = train_encoder(
                corpus, out, preset=preset, resume=resume, progress=progress, **changes
            )
    except KeyboardInterrupt:
        say(
            "interrupted; the same command with --resume goes on from the last checkpoint", "yellow"
        )
        raise typer.Exit(130) from None
    if not leads():
        return
    if as_json:
        show_json(trained.summary())
        return
    results.print(trained.sentence())


def _rate(value: str) -> tuple[str, float]:
    part, _, factor = value.partition("=")
    try:
        rate = float(factor)
    except ValueError:
        rate = math.nan
    if not (part and 0 <= rate < math.inf):
        raise typer.BadParameter(f"{value!r} is not PART=X, such as text.bert=0.01.")
    return part, rate
