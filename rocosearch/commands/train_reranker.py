"""`rocosearch train-reranker`: train a cross-modal re-ranker for an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from rocosearch.console import results, show_json, training_bars
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train-reranker build/corpus build/encoder
rocosearch index build/corpus build/index --encoder build/encoder --profiles rerank.toml
"""


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    *,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the captions.")] = 5,
    negatives: Annotated[
        int, typer.Option(min=1, max=100, help="Wrong images beside the right one of a caption.")
    ] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and negatives.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted training.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the re-ranker that ENCODER has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a re-ranker: the tokens of a text attend to the patches of an image.

    It learns to tell a caption's image from those that the encoder confuses it with, on the
    training split, and the best epoch by the validation split is kept. It is added to the
    encoder's folder: index the corpus again with a profile that has `rerank(q_tokens, patches)`
    (docs/profiles.md).
    """
    from rocosearch.pipeline import train_reranker

    with training_bars() as progress:
        trained = train_reranker(
            corpus,
            encoder,
            resume=resume,
            replace=replace,
            progress=progress,
            epochs=epochs,
            negatives=negatives,
            seed=seed,
        )
    if as_json:
        show_json(trained.summary())
        return
    results.print(trained.sentence(), markup=False)
