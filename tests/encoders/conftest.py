"""A very small encoder, and pairs drawn so that it can learn them in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from encoders.images.preprocess import Preprocessing
from encoders.model.clip import ClipConfig, ClipModule, Encoder
from encoders.model.resnet import ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig
from encoders.training.presets import TrainingConfig
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder

PLACES = {"upper left": (2, 2), "upper right": (18, 2), "lower left": (2, 18)}
SHAPES = ("square", "disc", "bar")
GREYS = {"faint": 110, "bright": 240}

SMALL_MODEL = ClipConfig(
    image=ResNetConfig(widths=(8, 16), blocks=(0, 1), groups=4),
    text=TextConfig(400, context=16, width=16, heads=2),
    dimension=16,
    preprocessing=Preprocessing(size=32),
)


@pytest.fixture(scope="session")
def small_model() -> ClipConfig:
    return SMALL_MODEL


@pytest.fixture(scope="session")
def small_training() -> TrainingConfig:
    return TrainingConfig(
        SMALL_MODEL, epochs=3, batch=18, learning_rate=1e-2, patience=0, device="cpu"
    )


@pytest.fixture(scope="session")
def drawn_pairs() -> list[tuple[Image.Image, str, str]]:
    """90 pairs: 18 combinations of shape, brightness and place, each drawn five times."""
    rng = np.random.default_rng(0)
    pairs = []
    for turn in range(5):
        for place, corner in PLACES.items():
            for shape in SHAPES:
                for grey, level in GREYS.items():
                    text = f"a {grey} {shape}, {place}"
                    pairs.append((_draw(corner, shape, level, rng), text, f"case {turn}"))
    return pairs


def _draw(corner: tuple[int, int], shape: str, grey: int, rng: np.random.Generator) -> Image.Image:
    image = Image.fromarray(rng.integers(0, 30, (32, 32), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = corner[0] + int(rng.integers(3)), corner[1] + int(rng.integers(3))
    box = (x, y, x + 9, y + 9)
    if shape == "disc":
        pen.ellipse(box, fill=grey)
    else:
        pen.rectangle(box if shape == "square" else (x, y + 3, x + 9, y + 5), fill=grey)
    return image


@pytest.fixture(scope="session")
def small_encoder() -> Encoder:
    """Untrained, seeded."""
    texts = ["chest x-ray of the left lung", "CT of the abdomen", "knee MRI"] * 3
    tokenizer = train_tokenizer(texts, vocabulary=400, max_tokens=16)
    text = replace(SMALL_MODEL.text, vocabulary=tokenizer.get_vocab_size())
    torch.manual_seed(0)
    return Encoder(ClipModule(replace(SMALL_MODEL, text=text), tokenizer))


@pytest.fixture
def exported_folder(tmp_path: Path) -> Path:
    """A whole encoder's folder: weights, tokenizer, manifest and both graphs; dimension 24."""
    return save_whole(tiny_encoder(0, 24), tmp_path / "encoder")
