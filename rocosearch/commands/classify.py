"""`rocosearch classify`: how well the encoder's vectors classify the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder, parse_counts

if TYPE_CHECKING:
    from rocosearch.classification import Classification

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch classify build/corpus build/encoder
rocosearch classify build/corpus build/encoder --name CT="computed tomography" --shots 1,4,16
rocosearch classify build/corpus build/encoder --field region --prompt "an image of the {}."
rocosearch classify build/corpus build/encoder --concepts
"""
NO_EFFECT = (NoEffect("--field --shots", "with --concepts", "since concepts are predicted"),)


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    *,
    field: Annotated[
        str, typer.Option(metavar="NAME", help="Field of the records with the class.")
    ] = "modality",
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=WORDS", help="Words for a class in prompts; repeatable."),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Prompt with {} for the class; repeatable."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Split to evaluate, not train; default test, else validation."
        ),
    ] = None,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Predict concepts instead, several per image.")
    ] = False,
    shots: Annotated[
        str, typer.Option(metavar="1,2,4", help="Examples per class for few-shot.")
    ] = "1,2,4,8,16",
    seed: Annotated[int, typer.Option(min=0, help="Seed for the examples and the probe.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Classify held-out images: zero-shot by prompts, few-shot, and with a linear probe.

    Accuracy, its mean over classes (balanced) and the area under the ROC curve of each class,
    compared with always predicting the most frequent class.

    With --concepts each image may have several: zero-shot by pairs of positive and negative
    prompts, and a linear probe; area under the ROC curve, mean average precision, and
    F1 as ImageCLEF computes it, with intervals by case or article.
    """
    names = dict(map(_name, name or ()))
    wrong = [text for text in prompt or () if text.count("{}") != 1]
    if wrong:
        raise typer.BadParameter(f"A prompt needs one {{}} for the class: {wrong[0]!r}.")
    counts = parse_counts(shots, "number of shots")
    if concepts:
        _concepts(corpus, encoder, names, prompt or (), split, seed, as_json=as_json)
        return
    from rocosearch.classification import classify_corpus

    with progress_bars() as progress:
        found = classify_corpus(
            corpus,
            encoder,
            field=field,
            names=names,
            prompts=prompt or (),
            split=split,
            shots=counts,
            seed=seed,
            progress=progress,
        )
    if as_json:
        show_json(found.summary())
        return
    _show(found)


def _concepts(
    corpus: Path,
    encoder: Path,
    names: dict[str, str],
    prompts: Sequence[str],
    split: str | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    from rocosearch.concept_classification import classify_concepts

    with progress_bars() as progress:
        found = classify_concepts(
            corpus, encoder, names=names, prompts=prompts, split=split, seed=seed, progress=progress
        )
    if as_json:
        show_json(found.summary())
        return
    results.print(
        f"{found.images:,} {found.split} images, {len(found.concepts)} concepts, "
        f"{found.examples:,} training examples. By chance: mAP {found.chance_map:.3f}.",
        markup=False,
    )
    probe = f"linear probe on {found.probed_on}"
    for title, scores in (("zero-shot", found.zero_shot), (probe, found.probe)):
        told = (
            ("AUROC", scores.auroc, scores.auroc_interval),
            ("mAP", scores.mean_average_precision, scores.mean_average_precision_interval),
            ("F1", scores.f1, scores.f1_interval),
        )
        parts = ", ".join(f"{n} {v:.3f} ({low:.3f} to {high:.3f})" for n, v, (low, high) in told)
        results.print(f"{title}: {parts}; threshold {scores.threshold:.2f}", markup=False)


def _name(value: str) -> tuple[str, str]:
    label, separator, words = value.partition("=")
    if not (label and separator and words):
        raise typer.BadParameter(f"{value!r} is not LABEL=WORDS.")
    return label, words


def _show(found: Classification) -> None:
    results.print(
        f"{found.images:,} {found.split} images, {len(found.classes)} classes of {found.field}, "
        f"{found.examples:,} training examples. By chance: accuracy {found.majority:.3f} (most "
        f"frequent class), balanced {1 / len(found.classes):.3f}."
    )
    probe = f"linear probe on {found.probed_on}"
    for title, scores in (("zero-shot", found.zero_shot), (probe, found.probe)):
        areas = ", ".join(
            f"{label} {area:.3f}" for label, area in zip(found.classes, scores.auroc, strict=True)
        )
        results.print(
            f"{title}: accuracy {scores.accuracy:.3f}, balanced {scores.balanced_accuracy:.3f} "
            f"({scores.interval[0]:.3f} to {scores.interval[1]:.3f}); AUROC {areas}"
        )
    for each in found.few_shot:
        results.print(
            f"{each.shots}-shot: balanced {each.accuracy:.3f} "
            f"({each.low:.3f} to {each.high:.3f}, {each.trials} trials)"
        )
    for count, lacking in found.few_shot_left_out.items():
        has = ", ".join(f"{label} has {examples:,}" for label, examples in lacking.items())
        results.print(f"left out: {count:,}-shot ({has} training examples)")
    for reason, count in found.left_out.items():
        if count:
            results.print(f"left out: {reason} ({count:,})")
