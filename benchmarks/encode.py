"""Images and texts encoded in a second, beside sentence-transformers' own `encode`.

    python benchmarks/encode.py [--encoder FOLDER | --preset small] [--corpus FOLDER]
        [--images 2000] [--rounds 3]

All rows encode the same images, phantoms or a corpus's, with the same weights in one process, in
turns; the best round of each counts. Rates are for a second of the clock and for a second of one
core (what all threads spent), which a busy machine changes less. Cosine: the lowest to
sentence-transformers' vectors.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.export.towers import export_towers
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.clip import ClipModule, Encoder
from encoders.model.sentence_transformer import as_sentence_transformer
from encoders.model.tokenizer import train_tokenizer
from encoders.training.presets import preset
from ingest.corpus.corpus import Corpus
from ingest.sources.open import open_source

Encode = Callable[[], NDArray[np.float32]]


def phantoms(count: int) -> tuple[list[bytes], list[str]]:
    """Encoded images and their captions."""
    records = [record for record in open_source(f"phantoms:{count}") if hasattr(record, "image")]
    images = [record.image for record in records if record.image is not None]
    return images, [record.caption for record in records]


def of_corpus(folder: Path, count: int) -> tuple[list[bytes], list[str]]:
    """Encoded images of a corpus, and their captions."""
    pairs = ((r.image, r.caption) for r in Corpus.open(folder).records() if r.image is not None)
    images, captions = zip(*itertools.islice(pairs, count), strict=True)
    return list(images), list(captions)


def untrained(name: str, captions: list[str]) -> Encoder:
    """A preset's towers with fresh weights: as fast as trained ones."""
    torch.manual_seed(0)
    config = preset(name).model
    tokenizer = train_tokenizer(captions, vocabulary=config.text.vocabulary)
    return Encoder(ClipModule(config, tokenizer))


def exported(encoder: Encoder, folder: Path) -> OnnxEncoder:
    """The same encoder on ONNX Runtime."""
    encoder.save(folder)
    export_towers(encoder, folder)
    return OnnxEncoder.load(folder)


def image_rows(encoder: Encoder, onnx: OnnxEncoder, images: list[bytes]) -> dict[str, Encode]:
    """Ways to encode the images; the first is the one to compare with."""
    model, wrapped = as_sentence_transformer(encoder), [{"image": image} for image in images]
    return {
        "sentence-transformers": lambda: model.encode(wrapped, batch_size=64),
        "Encoder (torch)": lambda: encoder.encode_images(images),
        "OnnxEncoder": lambda: onnx.encode_images(images),
    }


def text_rows(encoder: Encoder, onnx: OnnxEncoder, texts: list[str]) -> dict[str, Encode]:
    """Ways to encode the texts."""
    model, wrapped = as_sentence_transformer(encoder), [{"text": text} for text in texts]
    return {
        "sentence-transformers": lambda: model.encode(wrapped, batch_size=256),
        "Encoder (torch)": lambda: encoder.encode_texts(texts),
        "OnnxEncoder": lambda: onnx.encode_texts(texts),
    }


def measure(what: str, rows: dict[str, Encode], count: int, rounds: int) -> None:
    """Print a line for each row: rate, ratio to the first row, lowest cosine to it."""
    expected = next(iter(rows.values()))()
    lowest = {name: float((encode() * expected).sum(axis=1).min()) for name, encode in rows.items()}
    clock, core = dict.fromkeys(rows, float("inf")), dict.fromkeys(rows, float("inf"))
    for _ in range(rounds):
        for name, encode in rows.items():
            started, spent = time.perf_counter(), time.process_time()
            encode()
            clock[name] = min(clock[name], time.perf_counter() - started)
            core[name] = min(core[name], time.process_time() - spent)
    first = next(iter(rows))
    print(f"| {what} | a second | ratio | a core-second | ratio | lowest cosine |")
    print("|---|---|---|---|---|---|")
    for name in rows:
        rates = " | ".join(
            f"{count / seconds[name]:.0f} | {seconds[first] / seconds[name]:.2f}"
            for seconds in (clock, core)
        )
        print(f"| {name} | {rates} | {lowest[name]:.5f} |")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, help="an encoder's folder, instead of a preset")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--corpus", type=Path, help="images of this corpus, instead of phantoms")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    source = partial(of_corpus, options.corpus) if options.corpus else phantoms
    images, captions = source(options.images)
    if options.encoder:
        encoder = Encoder.load(options.encoder, device="cpu")
    else:
        encoder = untrained(options.preset, captions)
    with tempfile.TemporaryDirectory() as folder:
        onnx = exported(encoder, Path(folder) / "encoder")
        measure("images", image_rows(encoder, onnx, images), len(images), options.rounds)
        measure("texts", text_rows(encoder, onnx, captions), len(captions), options.rounds)


if __name__ == "__main__":
    main()
