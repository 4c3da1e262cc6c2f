"""Kinds of vectors to measure engines on, which tell where short codes stop paying.

low       24 strong directions among 512, and noise (benchmarks/made_up.py)
encoder   a trained encoder's: documents have the vectors of `rocosearch demo`'s images, queries
          those of its captions, repeated with as much noise as `low` has
random    no structure: every direction among 512 is as likely, and nothing is near to anything
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up import DIMENSION, NOISE, Maker, low
from numpy.typing import NDArray

__all__ = ["KINDS", "makers"]

KINDS = ("low", "encoder", "random")
Floats = NDArray[np.float32]


def makers(kind: str, demo: Path) -> tuple[Maker, Maker]:
    """What makes vectors of documents, and of queries; demo: the folder of `rocosearch demo`."""
    if kind == "encoder":
        images, captions = encoded(demo)
        return repeated(images), repeated(captions)
    return {"low": (low, low), "random": (without_structure, without_structure)}[kind]


def encoded(demo: Path) -> tuple[Floats, Floats]:
    """Vectors of a demo's images and of its captions, by its encoder."""
    # What only this kind needs stays out of the others' processes.
    from ingest.corpus.corpus import Corpus  # noqa: PLC0415
    from ingest.vectors.embed import read_embeddings  # noqa: PLC0415
    from rocosearch.open_index import load_encoder  # noqa: PLC0415

    corpus, encoder = Corpus.open(demo / "corpus"), load_encoder(demo / "encoder")
    _, images = read_embeddings(corpus, encoder.manifest.fingerprint)
    captions = [record.caption for record in corpus.records() if record.caption]
    return images, encoder.encode_texts(captions)


def repeated(base: Floats) -> Maker:
    """Makes the same vectors again and again, each moved by noise."""

    def make(count: int, random: np.random.Generator) -> Floats:
        noise = random.standard_normal((count, base.shape[1]), np.float32)
        noise *= NOISE / base.shape[1] ** 0.5
        return of_length_1(base[random.integers(len(base), size=count)] + noise)

    return make


def without_structure(count: int, random: np.random.Generator) -> Floats:
    """Normally distributed numbers."""
    return of_length_1(random.standard_normal((count, DIMENSION), np.float32))


def of_length_1(vectors: Floats) -> Floats:
    """Each divided by its length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
