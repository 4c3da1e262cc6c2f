"""Small real corpora and an encoder that needs no training."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Row
from ingest.sources.phantoms import Phantoms


@dataclass(frozen=True)
class Rows:
    """A source of given rows."""

    rows: Sequence[Row]
    format: str = "rows"
    location: str = "rows"
    recognised: str = ""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


class PixelEncoder:
    """An image's 4 x 4 grey thumbnail, on the unit sphere: a real encoder, without weights."""

    def __init__(self, name: str = "a"):
        self.images = 0
        self.manifest = Manifest(
            dimension=16,
            normalized=True,
            max_tokens=8,
            image_size=4,
            image_mode="L",
            image_resize="pad",
            image_mean=(0.5,),
            image_std=(0.5,),
            weights_sha256=name,
            tokenizer_sha256=name,
            architecture="{}",
        )

    def encode_images(self, images, batch_size=64):
        self.images += len(images)
        pixels = [np.asarray(Image.open(io.BytesIO(i)).convert("L").resize((4, 4))) for i in images]
        vectors = np.array(pixels, np.float32).reshape(len(images), 16) + 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def png_bytes(grey: int = 128, side: int = 8, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (side, side), grey).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def rows():
    return Rows


@pytest.fixture
def pixel_encoder() -> PixelEncoder:
    return PixelEncoder()


@pytest.fixture(scope="session")
def phantom_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """54 phantoms; read only."""
    return write_corpus(Phantoms(54), tmp_path_factory.mktemp("corpus") / "phantoms")


@pytest.fixture
def own_corpus(tmp_path: Path) -> Corpus:
    """54 phantoms, to write into."""
    return write_corpus(Phantoms(54), tmp_path / "phantoms")
