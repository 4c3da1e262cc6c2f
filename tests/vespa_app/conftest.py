"""Tiny encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from encoders.images.preprocess import Preprocessing
from encoders.model.clip import ClipConfig, ClipModule, Encoder
from encoders.model.resnet import ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig
from tests.encoder_folders import save_whole

CAPTIONS = (
    "chest x-ray frontal view of the left lung",
    "mri of the brain with contrast",
    "nodule in the right upper lobe",
)


def tiny_encoder(seed: int, dimension: int) -> Encoder:
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, vocabulary=300)
    config = ClipConfig(
        image=ResNetConfig(widths=(8,), blocks=(1,)),
        text=TextConfig(vocabulary=tokenizer.get_vocab_size(), width=16, heads=2),
        dimension=dimension,
        preprocessing=Preprocessing(size=16),
    )
    return Encoder(ClipModule(config, tokenizer))


@pytest.fixture(scope="session")
def encoder_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoders of different dimension, untrained."""
    root = tmp_path_factory.mktemp("encoders")
    folders = (root / "first", root / "second")
    for seed, (folder, dimension) in enumerate(zip(folders, (24, 16), strict=True)):
        save_whole(tiny_encoder(seed, dimension), folder)
    return folders
