"""`rocosearch train`: train a CLIP on the pairs of a corpus, from scratch or fine-tuned."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rocosearch.console import results, say, show_json, training_bars
from rocosearch.no_effect import NoEffect
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
NO_EFFECT = (NoEffect("--moved --cutout", "with --no-augmentation"),)

START, LENGTH, RATE = "Initial weights", "How long", "How fast"
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
            "Towers and recipe. adapter: published towers, frozen, with a projection on each; "
            "minutes. lit: only the image tower frozen; finetune: none frozen. From scratch: "
            "tiny, minutes on a laptop; small, half an hour, some thousand pairs; vit-small, "
            "clip-vit-b-32, clip-rn50, a GPU. Default: adapter if its towers are installed, else "
            "tiny. With --start only the recipe is used (rate, batch, epochs).",
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
            "A published image tower instead of the preset's: efficientnet-lite0 (of the extra "
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
            "Freeze a part: image (the whole tower), image.tower (all except its projection), "
            "text.tower, image.blocks.0., ...; repeatable. A wrong name lists the parts.",
            metavar="PART",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        _option(START, "Side of the images in pixels, instead of the preset's.", min=16),
    ] = None,
    context: Annotated[
        int | None,
        _option(START, "Longest text in tokens, instead of the preset's.", min=4),
    ] = None,
    dimension: Annotated[
        int | None,
        _option(
            START,
            "Numbers of a vector (of each head), instead of the preset's.",
            min=8,
            max=4096,
        ),
    ] = None,
    heads: Annotated[
        int | None,
        _option(
            START, "Number of projections on each tower, concatenated to one vector.", min=1, max=16
        ),
    ] = None,
    epochs: Annotated[
        int | None, _option(LENGTH, "Number of epochs; default: the preset's.", min=1)
    ] = None,
    minutes: Annotated[
        float | None,
        _option(
            LENGTH, "Stop after this time; the learning rate then follows the clock.", min=0.01
        ),
    ] = None,
    samples: Annotated[
        int | None, _option(LENGTH, "Pairs per epoch, drawn again for each epoch.", min=2)
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
        _option(LENGTH, "Stop after this many epochs without improvement; 0: never.", min=0),
    ] = None,
    ask: Annotated[
        Literal["pair", "caption"] | None,
        _option(
            LENGTH,
            "Queries of validation: each distinct caption once (the default), or the caption of "
            "every pair.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _option(
            RATE,
            "Peak learning rate. The presets' rates (tiny 3e-3, small 1e-3) are for training "
            "from scratch; fine-tuning needs a lower one: 3e-4 for an encoder of your own, 1e-5 "
            "for a large CLIP.",
            min=0,
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        _option(
            RATE,
            "Factor on the learning rate of a part, such as text.bert=0.01; repeatable.",
            metavar="PART=X",
        ),
    ] = None,
    layer_decay: Annotated[
        float | None,
        _option(
            RATE,
            "Factor on the learning rate from each layer to the one below, such as 0.8.",
            min=0,
            max=1,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None, _option(RATE, "Weight decay of AdamW, on matrices only.", min=0)
    ] = None,
    batch: Annotated[
        int | None, _option(BATCHES, "Batch size: pairs that are each other's negatives.", min=2)
    ] = None,
    micro_batch: Annotated[
        int | None,
        _option(
            BATCHES, "Pairs that the towers process at a time; saves memory, but is slower.", min=1
        ),
    ] = None,
    positives: Annotated[
        Literal["none", "caption", "group"] | None,
        _option(
            BATCHES,
            "Pairs that are not negatives: with an equal caption (the default), also of the same "
            "case or article (group), or none.",
        ),
    ] = None,
    loss: Annotated[
        Literal["infonce", "sigmoid"] | None,
        _option(BATCHES, "infonce (CLIP, the default) or sigmoid (SigLIP)."),
    ] = None,
    late_interaction: Annotated[
        float | None,
        _option(
            BATCHES,
            "Weight of a second loss, FILIP's: each word finds its patch, for MaxSim.",
            min=0,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        _option(DATA, "Dropout rate of the features before a projection.", min=0, max=0.95),
    ] = None,
    augmentation: Annotated[
        bool | None, _option(DATA, "Change geometry and brightness of images; never flip them.")
    ] = None,
    moved: Annotated[
        float | None,
        _option(DATA, "Share of images that are cropped, rotated and shifted.", min=0, max=1),
    ] = None,
    cutout: Annotated[
        float | None,
        _option(DATA, "Side of a grey square over the image, as a share.", min=0, max=1),
    ] = None,
    sentences: Annotated[
        float | None,
        _option(DATA, "Probability that only some sentences of a caption are used.", min=0, max=1),
    ] = None,
    word_dropout: Annotated[
        float | None, _option(DATA, "Probability that a word is dropped.", min=0, max=1)
    ] = None,
    concept_names: Annotated[
        float | None,
        _option(CONCEPTS, "Probability that concept names are added to a caption.", min=0, max=1),
    ] = None,
    concept_epochs: Annotated[
        int | None,
        _option(
            CONCEPTS, "Epochs of concept pretraining of the image tower before the others.", min=0
        ),
    ] = None,
    concept_loss: Annotated[
        Literal["asymmetric", "focal"] | None, _option(CONCEPTS, "Loss of concept pretraining.")
    ] = None,
    concept_field: Annotated[
        list[str] | None,
        _option(
            CONCEPTS, "Use the values of this field as concepts too: modality, ...", metavar="NAME"
        ),
    ] = None,
    concept_pairs: Annotated[
        bool, _option(CONCEPTS, "Pair each image with its concepts' names too.", "--concept-pairs")
    ] = False,
    balance_cap: Annotated[
        int | None,
        _option(CONCEPTS, "At most about this many pairs of a concept per epoch.", min=0),
    ] = None,
    device: Annotated[
        str, _option(MACHINE, "auto (a GPU if any), cpu, cuda, ...", metavar="NAME")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None,
        _option(MACHINE, "auto uses bfloat16 on a GPU, float32 elsewhere."),
    ] = None,
    seed: Annotated[
        int, _option(MACHINE, "Seed for weights, data order and augmentation.", min=0)
    ] = 0,
    resume: Annotated[
        bool, _option(MACHINE, "Resume an interrupted training.", "--resume")
    ] = False,
    replace_encoder: Annotated[
        bool, _option(MACHINE, "Overwrite a finished encoder at OUT.", "--replace")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a CLIP on the image-caption pairs of a corpus.

    All options have defaults that fit the preset. Training stops early by validation MRR@10, and
    the best epoch is kept. OUT has the weights (safetensors), the tokenizer, encoder.json (the
    manifest), training.csv (learning curves) and training.json (the settings).

    To fine-tune, download a model first, name it with --start (a CLIP), --image-tower or
    --text-tower, lower the learning rate, and freeze parts with --freeze.
    """
    from encoders.training.augment import AUGMENTED, NO_AUGMENTATION, Augmentation
    from encoders.training.augment_text import TextAugmentation
    from encoders.training.default_preset import choose_preset
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
        "dimension": dimension,
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
        "late_interaction": late_interaction,
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
    with training_bars() as progress:
        trained = train_encoder(
            corpus,
            out,
            preset=preset,
            resume=resume,
            replace=replace_encoder,
            progress=progress,
            **changes,
        )
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
