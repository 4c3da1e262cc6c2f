"""`rocosearch train-decoder`: train a decoder that describes images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rocosearch.console import show_json, tell, training_bars
from rocosearch.options import AsJson, CorpusFolder, EncoderFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch train-decoder build/corpus build/encoder build/decoder.safetensors
rocosearch label build/corpus build/encoder --decoder build/decoder.safetensors
"""


def command(
    corpus: CorpusFolder,
    encoder: EncoderFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: safetensors.")],
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
    learns the captions of the training split. `rocosearch label --decoder OUT` writes its captions
    into the corpus.
    """
    from rocosearch.captioning import train_caption_decoder

    with training_bars() as progress:
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
    told: dict[str, Any] = {"file": str(out), "fingerprint": decoder.fingerprint, **decoder.figures}
    if as_json:
        show_json(told)
        return
    line = "Trained on {pairs:,} captions, {epochs} epochs, {seconds:.0f} s ({stopped})"
    if told["held_out"]:
        line += ": {nats_per_token:.2f} nats per token of {held_out:,} validation captions"
        line += " after epoch {best_epoch}"
    if "bleu" in told:
        line += "; BLEU {bleu:.1f}, ROUGE-L {rouge_l:.3f}, CIDEr {cider:.3f}"
    tell(line.format(**told) + f". Decoder {decoder.fingerprint[:8]} in {out}.")
