from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.analysis.heatmap import HeatMapError, heat_map, overlay
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.clip import ClipModule, Encoder
from encoders.model.towers import ViTConfig
from encoders.training.presets import TrainingConfig
from encoders.training.train import train
from tests.encoder_folders import save_whole


def test_covering_the_finding_costs_most_similarity(
    drawn_pairs: list[tuple[Image.Image, str, str]], small_training: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(small_training, epochs=25)
    train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "encoder", config)
    trained = Encoder.load(tmp_path / "encoder", device="cpu")
    encoder = OnnxEncoder.load(save_whole(trained, tmp_path / "whole"))
    corners = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0)}
    right = []
    for image, text, _ in drawn_pairs[72:]:
        found = heat_map(encoder, image, text, cells=2, window=0.5)
        hottest = np.unravel_index(found.argmax(), found.shape)
        right.append(tuple(map(int, hottest)) == corners[text.split(", ")[1]])
    assert np.mean(right) > 0.7  # by chance one in four


def test_shapes_of_the_methods(small_encoder: Encoder, tmp_path: Path) -> None:
    whole = OnnxEncoder.load(save_whole(small_encoder, tmp_path / "e"))
    image = Image.effect_noise((40, 30), 60)
    for method in ("occlusion", "tiles"):
        found = heat_map(whole, image, "chest", method=method, cells=5)  # type: ignore[arg-type]
        assert found.shape == (5, 5)
        assert found.dtype == np.float32
    with pytest.raises(HeatMapError, match="vision transformer"):
        heat_map(whole, image, "chest", method="patches")


def test_patches_of_a_vision_transformer(small_encoder: Encoder, tmp_path: Path) -> None:
    config = small_encoder.module.config
    torch.manual_seed(0)
    vit = replace(config, image=ViTConfig(patch=8, width=16, layers=1, heads=2))
    made = Encoder(ClipModule(vit, small_encoder.module.tokenizer))
    encoder = OnnxEncoder.load(save_whole(made, tmp_path / "e"))
    found = heat_map(encoder, Image.effect_noise((40, 30), 60), "chest", method="patches")
    assert found.shape == (4, 4)
    assert (np.abs(found) <= 1.0001).all()


def test_the_overlay_has_the_images_size_and_is_reddest_where_the_map_is_high() -> None:
    relevance = np.zeros((4, 4), dtype=np.float32)
    relevance[1:3, 3] = 1
    picture = overlay(Image.new("L", (60, 30), 100), relevance)
    assert picture.size == (60, 30)
    left, right = picture.getpixel((3, 15)), picture.getpixel((56, 15))
    assert right[0] - right[2] > 80
    assert left[0] - left[2] < 20
