"""`rocosearch train-decoder`: train a decoder that describes images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, say, show_json
from rocosearch.options import AsJson, CorpusFolder, OutFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train-decoder build/corpus build/encoder build/decoder
rocosearch label build/corpus build/encoder --decoder build/decoder
"""


def command(
    corpus: CorpusFolder,
    encoder: Annotated[
        Path, typer.Argument(metavar="ENCODER", help="Folder written by `rocosearch train`.")
    ],
    out: OutFolder,
    *,
    epochs: Annotated[
        int, typer.Option(min=1, help="Most epochs; training stops earlier by validation.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed for weights, order and dropout.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted training.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a finished decoder at OUT.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a decoder that describes images on the captions of a corpus.

    A small transformer reads the cells of the encoder's image tower, which is not changed, and
    learns the captions of the training split. OUT has the weights (safetensors), the tokenizer and
    decoder.json. `rocosearch label --decoder OUT` writes its captions into the corpus.
    """
    from rocosearch.captioning import train_caption_decoder

    try:
        with progress_bars() as progress:
            decoder = train_caption_decoder(
                corpus,
                encoder,
                out,
                resume=resume,
                replace_decoder=replace,
                progress=progress,
                epochs=epochs,
                seed=seed,
            )
    except KeyboardInterrupt:
        say(
            "interrupted; run the same command with --resume to continue from the last checkpoint",
            "yellow",
        )
        raise typer.Exit(130) from None
    told = dict(decoder.figures)
    if as_json:
        show_json({"folder": str(out), "fingerprint": decoder.fingerprint, **told})
        return
    quality = "no validation pairs, so the last epoch was kept"
    if told["nats_per_token"] is not None:
        quality = (
            f"{told['nats_per_token']:.2f} nats per token of {told['held_out']:,} validation "
            f"captions after epoch {told['best_epoch']}"
        )
    if "bleu" in told:
        quality += (
            f"; BLEU {told['bleu']:.1f}, ROUGE-L {told['rouge_l']:.3f}, CIDEr {told['cider']:.3f}"
        )
    results.print(
        f"Trained on {told['pairs']:,} captions, {told['epochs']} epochs, {told['seconds']:.0f} s "
        f"({told['stopped']}): {quality}. Decoder {decoder.fingerprint[:8]} in {out}.",
        markup=False,
    )
