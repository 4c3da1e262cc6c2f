"""The tower in eight bits is close to what torch computes, whatever the batch."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from encoders.images.preprocess import Preprocessing
from encoders.int8_registers import TILE, WIDTH, tile_products
from encoders.int8_resnet import fits, int8_resnet
from encoders.jit import HAS_VNNI
from encoders.model.resnet import ResNet, ResNetConfig

pytestmark = pytest.mark.skipif(not HAS_VNNI, reason="the processor has no VNNI")

RGB = Preprocessing(24, "RGB", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
ODD = Preprocessing(21)
SMALL = ResNetConfig(widths=(16, 24), blocks=(1, 2), groups=8)
UNEVEN = ResNetConfig(widths=(6, 42), blocks=(0, 1), groups=3)  # no whole registers, nor fours


def tower_of(config: ResNetConfig, prepare: Preprocessing) -> ResNet:
    torch.manual_seed(0)
    tower = ResNet(config, prepare.channels, 12).eval()
    for norm in (m for m in tower.modules() if isinstance(m, torch.nn.GroupNorm)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return tower


def drawn(prepare: Preprocessing) -> np.ndarray:
    shape = (20, prepare.channels, prepare.size, prepare.size)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("config", "prepare"), [(SMALL, RGB), (UNEVEN, ODD)])
def test_the_vectors_of_the_tower_in_32_bits(config: ResNetConfig, prepare: Preprocessing) -> None:
    tower, pixels = tower_of(config, prepare), drawn(prepare)
    found = int8_resnet(prepare, tower, pixels[:10])(pixels)
    with torch.no_grad():
        expected = tower(prepare.normalize(torch.from_numpy(pixels))).numpy()
    cosine = (found * expected).sum(1)
    cosine /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.05
    )


def test_a_tower_of_a_stem_alone_has_none() -> None:
    assert fits(tower_of(SMALL, RGB))
    assert not fits(tower_of(ResNetConfig(widths=(16,), blocks=(0,)), RGB))


def test_an_images_vector_does_not_depend_on_its_batch() -> None:
    pixels = drawn(RGB)
    run = int8_resnet(RGB, tower_of(SMALL, RGB), pixels)
    alone = np.concatenate([run(pixels[n : n + 1]) for n in range(len(pixels))])
    np.testing.assert_array_equal(run(pixels), alone)


@numba.njit
def products(x, starts, pitch, weights, group, out):  # an intrinsic is for compiled code alone
    tile_products(x, starts, pitch, weights, group, out)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32))
def test_products_of_bytes_are_exact_at_their_ends_too(rows: int, fours: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([0, 1, 128, 255], np.uint8), 200)
    weights = rng.choice(np.array([-128, -1, 0, 127], np.int8), (2, rows, fours, WIDTH, 4))
    starts = rng.integers(0, 100, TILE)
    windows = [[x[s + 30 * row :][: 4 * fours] for row in range(rows)] for s in starts]
    taps = weights.transpose(0, 3, 1, 2, 4).reshape(2 * WIDTH, rows, 4 * fours)
    expected = np.einsum("trk,ork->to", np.array(windows, np.int32), taps.astype(np.int32))
    out = np.zeros((TILE, 2 * WIDTH), np.int32)
    for group in range(2):
        products(x, starts, 30, weights, group, out)
    np.testing.assert_array_equal(out, expected)
