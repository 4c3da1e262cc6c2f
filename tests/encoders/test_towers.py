from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from encoders.model.clip import ClipModule
from encoders.model.resnet import ModifiedResNet, ModifiedResNetConfig, ResNet, ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig, TextTower, ViT, ViTConfig
from encoders.training.presets import PRESETS


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def parameters_of(name: str) -> int:
    with torch.device("meta"):
        return count(ClipModule(PRESETS[name].model, train_tokenizer(["a"])))


def test_clip_vit_b_32_has_the_published_number_of_parameters() -> None:
    assert parameters_of("clip-vit-b-32") == 151_277_313


def test_clip_rn50_has_the_parameters_that_follow_from_the_paper() -> None:
    """CLIP, section 2.4 and tables 19 and 20: summed layer by layer, from no other code."""

    def convolution(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + 2 * outputs  # with the norm's gain and bias

    image, width = convolution(3, 32, 3) + convolution(32, 32, 3) + convolution(32, 64, 3), 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        image += convolution(width, 4 * inner, 1)  # the way around the first block
        for _ in range(blocks):
            image += convolution(width, inner, 1) + convolution(inner, inner, 3)
            image += convolution(inner, 4 * inner, 1)
            width = 4 * inner
    image += (7 * 7 + 1) * width + 3 * (width + 1) * width + (width + 1) * 1024  # attention pool
    block = 12 * 512**2 + 13 * 512  # attention, MLP, two norms
    text = (49_408 + 77) * 512 + 12 * block + 2 * 512 + 512 * 1024
    assert parameters_of("clip-rn50") == image + text + 1 == 102_007_137


def test_vit_b_16_has_the_published_number_of_parameters() -> None:
    config = ViTConfig(
        16, width=768, layers=12, heads=12, input_norm=False, patch_bias=True, pooler=True
    )
    with torch.device("meta"):
        assert count(ViT(config, 3, 224, None)) == 86_389_248


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "eos"])
def test_padding_does_not_change_a_text(causal: bool, pooling: str) -> None:
    torch.manual_seed(0)
    config = TextConfig(50, context=12, width=16, layers=2, causal=causal, pooling=pooling)  # type: ignore[arg-type]
    tower = TextTower(config, 8).eval()
    ids = torch.tensor([[1, 7, 9, 2, 0, 0]])
    mask = (ids > 0).long()
    alone = tower(ids[:, :4], mask[:, :4])
    torch.testing.assert_close(tower(ids, mask), alone)


def test_a_causal_tower_does_not_look_ahead() -> None:
    torch.manual_seed(0)
    tower = TextTower(TextConfig(50, context=12, width=16, layers=2, causal=True), 8)
    ids = torch.tensor([[1, 7, 9, 2], [1, 7, 9, 30]])
    states = tower.states(ids, torch.ones_like(ids))
    torch.testing.assert_close(states[0, :3], states[1, :3])
    assert not torch.allclose(states[0, 3], states[1, 3])


def test_an_image_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 32, 32)
    for tower in (
        ResNet(ResNetConfig(widths=(8, 16), blocks=(1, 1), groups=4), 1, 8).train(),
        ViT(ViTConfig(patch=8, width=16, layers=2, heads=2), 1, 32, 8).train(),
        ModifiedResNet(ModifiedResNetConfig(8, (1, 1), heads=4, groups=4), 1, 32, 8).train(),
    ):
        torch.testing.assert_close(tower(images)[1:2], tower(images[1:2]), rtol=1e-4, atol=1e-5)


def test_the_grid_is_kept_for_any_image_size() -> None:
    tower = ResNet(ResNetConfig(widths=(8, 16), blocks=(1, 1), groups=4, grid=4), 1, 8)
    assert tower(torch.randn(2, 1, 48, 48)).shape == (2, 8)


@pytest.mark.parametrize("name", ["tiny", "small", "vit-small"])
def test_presets_build_and_run(name: str) -> None:
    model = PRESETS[name].model
    module = ClipModule(
        replace(model, text=replace(model.text, vocabulary=300)), train_tokenizer(["a"])
    )
    features = module.preprocess(["a"])
    assert module(features).shape == (1, model.dimension)
    side = model.preprocessing.size
    pixels = torch.zeros(1, model.preprocessing.channels, side, side, dtype=torch.uint8)
    assert module.embed_pixels(pixels).shape == (1, model.dimension)
