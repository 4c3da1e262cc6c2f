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
rocosearch train build/corpus build/encoder --preset adapter
rocosearch train build/corpus build/encoder --image-tower dinov2-small --text-tower minilm \
--freeze image.tower --freeze text.tower --no-augmentation
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
        str | None,
        _option(
            START,
            "Towers and recipe. adapter: published towers, frozen, a projection on each; minutes. "
            "lit: the image tower frozen; finetune: none. From scratch: tiny, minutes on a "
            "laptop; small, half an hour, some thousand pairs; vit-small, clip-vit-b-32, "
            "clip-rn50, a GPU. If none: adapter where its towers are installed, else tiny. With "
            "--start only the recipe counts (rate, batch, epochs).",
            metavar="NAME",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        _option(
            START,
            "Fine-tune this encoder: a folder of `rocosearch train`, or a downloaded CLIP "
            "(Hugging Face CLIPModel, sentence-transformers clip-ViT-B-32; safetensors).",
            metavar="ENCODER",
        ),
    ] = None,
    image_tower: Annotated[
        str | None,
        _option(
            START,
            "A published image tower in place of the preset's: efficientnet-lite0 (of the extra "
            "`pretrained`), or a downloaded folder (safetensors).",
            metavar="NAME",
        ),
    ] = None,
    text_tower: Annotated[
        str | None,
        _option(
            START,
            "A published text tower: minilm (of the extra `pretrained`), or a downloaded folder "
            "(safetensors).",
            metavar="NAME",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        _option(
            START,
            "Keep a part as it is: image (the whole tower), image.tower (all but its "
            "projection), text.tower, image.blocks.0., ...; repeatable. A wrong name lists the "
            "parts.",
            metavar="PART",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        _option(START, "Side of the images in pixels, in place of the preset's.", min=16),
    ] = None,
    context: Annotated[
        int | None,
        _option(START, "Longest text in tokens, in place of the preset's.", min=4),
    ] = None,
    heads: Annotated[
        int | None,
        _option(
            START, "So many projections on each tower, side by side in the vector.", min=1, max=16
        ),
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
    image_epochs: Annotated[
        int | None,
        _option(
            LENGTH,
            "Epochs before the others in which the image tower learns from images alone, those "
            "without a caption too.",
            min=0,
        ),
    ] = None,
    text_epochs: Annotated[
        int | None,
        _option(
            LENGTH,
            "Epochs before the others in which the text tower learns from captions alone.",
            min=0,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        _option(LENGTH, "Stop after so many epochs without a better one; 0: never.", min=0),
    ] = None,
    ask: Annotated[
        Literal["pair", "caption"] | None,
        _option(
            LENGTH,
            "What validation asks: each caption once (the default), on however many images it "
            "stands, or the caption of every pair.",
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
    loss: Annotated[
        Literal["infonce", "sigmoid"] | None,
        _option(BATCHES, "CLIP's (the default), or SigLIP's."),
    ] = None,
    near_captions: Annotated[
        int | None, _option(BATCHES, "Batch pairs of near captions in groups of so many.", min=0)
    ] = None,
    dropout: Annotated[
        float | None,
        _option(DATA, "Share of features that a projection does not see.", min=0, max=0.95),
    ] = None,
    augmentation: Annotated[
        bool | None, _option(DATA, "Move and relight images; never a flip.")
    ] = None,
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
    concept_pairs: Annotated[
        bool, _option(CONCEPTS, "Pair each image with its concepts' names too.", "--concept-pairs")
    ] = False,
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
    replace_encoder: Annotated[
        bool, _option(MACHINE, "Write over a finished encoder at OUT.", "--replace")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a CLIP (image tower, text tower, one space) on the corpus's training split.

    Every option has a default that suits the preset: begin without any. Validation MRR@10
    stops training early, and the best epoch is kept. OUT holds weights (safetensors), tokenizer,
    encoder.json (the manifest), training.csv (the curves) and training.json (the settings).

    To fine-tune, download a model first, name it with --start (a CLIP), --image-tower or
    --text-tower, lower the rate, and lock with --freeze what shall not change.
    """
    from encoders.training.augment import AUGMENTED, NO_AUGMENTATION, Augmentation
    from encoders.training.augment_text import TextAugmentation
    from encoders.training.choice import choose_preset
    from encoders.training.distributed import leads
    from rocosearch.pipeline import train_encoder

    changed = {n: v for n, v in {"share": moved, "cutout": cutout}.items() if v is not None}
    if augmentation is False:
        images: Augmentation | None = NO_AUGMENTATION
    else:
        images = replace(AUGMENTED, **changed) if changed or augmentation else None
    texts = (sentences or 0.0, word_dropout or 0.0, concept_names or 0.0)
    wanted = {
        "start": start and str(start),
        "image_tower": image_tower,
        "text_tower": text_tower,
        "freeze": tuple(freeze) if freeze else None,
        "image_size": image_size,
        "context": context,
        "heads": heads,
        "epochs": epochs,
        "max_seconds": minutes and minutes * 60,
        "samples_per_epoch": samples,
        "image_epochs": image_epochs,
        "text_epochs": text_epochs,
        "patience": patience,
        "ask": ask,
        "learning_rate": learning_rate,
        "rates": tuple(map(_rate, rate)) if rate else None,
        "layer_decay": layer_decay,
        "weight_decay": weight_decay,
        "batch": batch,
        "micro_batch": micro_batch,
        "positives": positives,
        "loss": loss,
        "near_captions": near_captions,
        "dropout": dropout,
        "augmentation": images,
        "text_augmentation": TextAugmentation(*texts) if any(texts) else None,
        "concept_epochs": concept_epochs,
        "concept_loss": concept_loss,
        "concept_fields": tuple(concept_field or ()),
        "concept_pairs": concept_pairs,
        "balance_cap": balance_cap,
        "device": device,
        "precision": precision,
        "seed": seed,
    }
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if preset is None:
        chosen = choose_preset(changes)
        preset = chosen.name
        if leads():
            say(chosen.reason)
    try:
        with progress_bars() as progress:
            trained = train_encoder(
                corpus,
                out,
                preset=preset,
                resume=resume,
                replace=replace_encoder,
                progress=progress,
                **changes,
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
