"""Eight bits between convolutions: what was rounded is close to what torch computes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings, strategies as st

from encoders import int8_kernels
from encoders.int8_kernels import normalised_relu, stem
from encoders.int8_resnet import Scale, int8_resnet
from encoders.preprocess import Preprocessing
from encoders.resnet import ResNet, ResNetConfig


@settings(max_examples=50, deadline=None)
@given(st.floats(-20, 0), st.floats(0, 20))
def test_a_scale_covers_its_range_and_holds_zero_exactly(low: float, high: float) -> None:
    scale = Scale.of(low, high)
    assert 0 <= scale.zero <= 255
    values = scale.scale * (np.array([0, 255]) - scale.zero)
    assert values[0] <= low + scale.scale
    assert values[1] >= high - scale.scale


def test_the_pass_between_convolutions_is_group_norm_short_cut_and_relu() -> None:
    rng = np.random.default_rng(0)
    x, short = rng.integers(0, 256, (2, 3, 30, 8), dtype=np.uint8)
    norm = rng.normal(0, 20, (2, 8)).astype(np.float32)
    out = np.empty_like(x)
    normalised_relu(x, norm, 4, 1e-5, short, np.float32(0.3), out)
    normal = torch.nn.functional.group_norm(
        torch.from_numpy(x).float().transpose(1, 2), 4, *torch.from_numpy(norm), 1e-5
    )
    expected = (normal.transpose(1, 2).numpy() + 0.3 * short).clip(0, 255)
    assert np.abs(out - expected).max() < 0.51


def test_the_stem_is_convolution_group_norm_and_relu() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 2, 9, 9), dtype=np.uint8)
    entry = rng.normal(0, 0.02, (2, 2)).astype(np.float32)
    weights = rng.normal(size=(2, 3, 3, 8)).astype(np.float32)
    norm = rng.normal(0, 50, (2, 8)).astype(np.float32)
    out = np.empty((2, 5, 5, 8), np.uint8)
    stem(pixels, entry, weights, norm, 4, 1e-5, out)
    taken = torch.from_numpy(pixels * entry[0, :, None, None] + entry[1, :, None, None])
    kernel = torch.from_numpy(weights).permute(3, 0, 1, 2)
    made = torch.nn.functional.conv2d(taken, kernel, stride=2, padding=1)
    normal = torch.nn.functional.group_norm(made, 4, *torch.from_numpy(norm), 1e-5)
    expected = normal.permute(0, 2, 3, 1).numpy().clip(0, 255)
    assert np.abs(out - expected).max() < 0.51


def test_many_cells_do_not_overflow() -> None:
    x = np.full((1, int8_kernels.BLOCK + 5, 1), 255, np.uint8)
    x[0, ::2] = 253
    out = np.empty_like(x)
    norm = np.array([[9], [100]], np.float32)
    normalised_relu(x, norm, 1, 0.0, x, np.float32(0), out)
    assert set(out.flatten()) == {91, 109}


def test_the_tower_in_eight_bits_in_colour_and_with_short_cuts_of_both_kinds() -> None:
    torch.manual_seed(0)
    prepare = Preprocessing(24, "RGB", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    tower = ResNet(ResNetConfig(widths=(16, 24), blocks=(1, 2), groups=8), 3, 12).eval()
    for norm in (m for m in tower.modules() if isinstance(m, torch.nn.GroupNorm)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    pixels = np.random.default_rng(1).integers(0, 256, (20, 3, 24, 24), dtype=np.uint8)
    found = int8_resnet(prepare, tower, pixels[:10])(pixels)
    with torch.no_grad():
        expected = tower(prepare.normalize(torch.from_numpy(pixels))).numpy()
    cosine = (found * expected).sum(1)
    cosine /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.998
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.05
    )
