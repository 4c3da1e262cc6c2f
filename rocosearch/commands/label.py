"""`rocosearch label`: predict concepts and words for every image of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch label build/corpus build/encoder
rocosearch label build/corpus build/encoder --captions 0 --concept-field modality
rocosearch label build/corpus build/encoder --decoder build/decoder.safetensors
rocosearch index build/corpus build/index --encoder build/encoder
rocosearch search build/index pneumonia --profile hybrid_pseudo --filter predicted_concepts=C0040405
"""
NO_EFFECT = (NoEffect("--captions", "with --decoder", "since the decoder says the words"),)

SHOWN = 10


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    *,
    captions: Annotated[
        int,
        typer.Option(
            min=0, max=50, help="Number of nearest captions whose words are used; 0: none."
        ),
    ] = 10,
    decoder: Annotated[
        Path | None,
        typer.Option(
            metavar="DECODER",
            help="Take the words of this decoder instead: a file of `rocosearch train-decoder`.",
        ),
    ] = None,
    concept_field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Use the values of this field as concepts too: modality."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the folds of the probe.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Predict concepts and words for every image, and store them in the corpus.

    Concepts come from a linear probe, words from the captions of the nearest images of the
    training split, or with --decoder from a decoder. They are marked as predicted: index and feed
    put them into separate fields (predicted_concepts, pseudo_caption), and no evaluation uses them
    as truth. Run index or feed afterwards.
    """
    from rocosearch.labelling import label_corpus

    with progress_bars() as progress:
        found = label_corpus(
            corpus,
            encoder,
            captions=captions,
            decoder=decoder,
            concept_fields=tuple(concept_field or ()),
            seed=seed,
            progress=progress,
        )
    if as_json:
        show_json(found.summary())
        return
    told = f"words of {found.captions} near captions" if found.captions else "no words"
    if found.decoder:
        told = f"captions by decoder {found.decoder[:8]}, none where it has learned the image's own"
    results.print(
        f"{found.images:,} images labelled by {found.encoder[:8]}: {len(found.concepts):,} "
        f"concepts, {told}.",
        markup=False,
    )
    if found.concepts:
        shown = [f"{name} ({count:,})" for name, count in list(found.concepts.items())[:SHOWN]]
        more = f", and {len(found.concepts) - SHOWN:,} more" if len(found.concepts) > SHOWN else ""
        results.print(
            f"Predicted from probability {found.threshold:.2f} on; training images by probes that "
            f"had not seen their group: mAP {found.mean_average_precision:.3f}.\n"
            f"{', '.join(shown)}{more}",
            markup=False,
        )
