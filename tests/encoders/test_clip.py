from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.model.clip import WEIGHTS, ClipConfig, Encoder, EncoderError
from encoders.model.manifest import ManifestError
from encoders.training.presets import PRESETS

TEXTS = ["chest x-ray", "", "word " * 500, "rayos X de tórax 胸部"]


Wrap = Callable[[Encoder], Any]


@pytest.fixture
def as_sentence_transformer() -> Wrap:
    """Loaded here: every process collects all tests, and this takes seconds to load."""
    module = import_module("encoders.model.sentence_transformer")
    return module.as_sentence_transformer  # type: ignore[no-any-return]


@pytest.fixture
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40, 30), dtype=np.uint8)) for _ in range(5)]


def test_vectors_are_unit_float32(small_encoder: Encoder, images: list[Image.Image]) -> None:
    for vectors in (small_encoder.encode_texts(TEXTS), small_encoder.encode_images(images)):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_nothing_in_nothing_out(small_encoder: Encoder) -> None:
    assert small_encoder.encode_texts([]).shape == (0, 16)
    assert small_encoder.encode_images([]).shape == (0, 16)


def test_saved_and_loaded_it_is_the_same(
    small_encoder: Encoder, images: list[Image.Image], tmp_path: Path
) -> None:
    small_encoder.save(tmp_path / "encoder")
    loaded = Encoder.load(tmp_path / "encoder", device="cpu")
    assert loaded.manifest == small_encoder.manifest
    np.testing.assert_array_equal(loaded.encode_texts(TEXTS), small_encoder.encode_texts(TEXTS))
    np.testing.assert_array_equal(loaded.encode_images(images), small_encoder.encode_images(images))


def test_sentence_transformers_gives_the_same_vectors(
    small_encoder: Encoder, images: list[Image.Image], as_sentence_transformer: Wrap
) -> None:
    model = as_sentence_transformer(small_encoder)
    np.testing.assert_allclose(
        model.encode(TEXTS),
        small_encoder.encode_texts(TEXTS),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        model.encode(images),
        small_encoder.encode_images(images),
        atol=1e-6,
    )


def test_sentence_transformers_saves_what_the_encoder_loads(
    small_encoder: Encoder, as_sentence_transformer: Wrap, tmp_path: Path
) -> None:
    as_sentence_transformer(small_encoder)[0].save(str(tmp_path / "saved"))
    assert Encoder.load(tmp_path / "saved", device="cpu").manifest == small_encoder.manifest


def test_bytes_and_paths_are_images_too(
    small_encoder: Encoder, images: list[Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    images[0].save(path)
    vectors = small_encoder.encode_images([images[0], path, path.read_bytes()])
    np.testing.assert_allclose(vectors, vectors[[0, 0, 0]], atol=1e-6)


def test_a_text_that_names_a_file_stays_a_text(
    small_encoder: Encoder,
    images: list[Image.Image],
    as_sentence_transformer: Wrap,
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.png"
    images[0].save(path)
    ours = small_encoder.encode_texts([str(path)])
    np.testing.assert_allclose(
        as_sentence_transformer(small_encoder).encode([str(path)]), ours, atol=1e-6
    )
    assert not np.allclose(ours, small_encoder.encode_images([path]), atol=1e-3)


def test_a_changed_weight_is_one_clear_error(small_encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    small_encoder.save(folder)
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    with pytest.raises(ManifestError, match="does not match its hash"):
        Encoder.load(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ManifestError, match="missing"):
        Encoder.load(folder)
    (folder / "encoder.json").unlink()
    with pytest.raises(ManifestError, match="is not an encoder"):
        Encoder.load(folder)


def test_an_unknown_architecture_is_told() -> None:
    with pytest.raises(EncoderError, match="does not know"):
        ClipConfig.from_json(json.dumps({"image": {"kind": "mamba"}}))


@pytest.mark.parametrize("name", PRESETS)
def test_architectures_survive_json(name: str) -> None:
    model = PRESETS[name].model
    assert ClipConfig.from_json(model.to_json()) == model


def test_the_temperature_is_clamped_as_in_the_paper(small_encoder: Encoder) -> None:
    module = small_encoder.module
    before = module.logit_scale.detach().clone()
    with torch.no_grad():
        module.logit_scale.fill_(9.0)
        assert float(module.scale) == pytest.approx(100)
        module.logit_scale.copy_(before)
