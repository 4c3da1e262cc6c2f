from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F  # noqa: N812

from encoders.training.loss import (
    batch_accuracy,
    late_interaction,
    positives,
    sigmoid_loss,
    symmetric_infonce,
)

batches = st.tuples(st.integers(2, 9), st.integers(0, 1000), st.floats(1, 100))


def drawn(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit vectors, and labels with some repeats and some absent."""
    generator = torch.Generator().manual_seed(seed)
    images, texts = torch.randn(2, size, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, size, (size, 2), generator=generator)
    return F.normalize(images, dim=1), F.normalize(texts, dim=1), labels


@settings(deadline=None)
@given(batches)
def test_with_distinct_groups_it_is_clips_cross_entropy(case: tuple[int, int, float]) -> None:
    size, seed, scale = case
    images, texts, _ = drawn(size, seed)
    distinct = positives(torch.arange(size)[:, None])
    logits, own = scale * images @ texts.T, torch.arange(size)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    ours = symmetric_infonce(images, texts, torch.tensor(scale), distinct)
    torch.testing.assert_close(ours, expected)


@settings(deadline=None)
@given(batches)
def test_symmetric_invariant_and_not_negative(case: tuple[int, int, float]) -> None:
    size, seed, scale = case
    images, texts, labels = drawn(size, seed)
    positive, factor = positives(labels), torch.tensor(scale)
    loss = symmetric_infonce(images, texts, factor, positive)
    swapped = symmetric_infonce(texts, images, factor, positive)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(size))
    shuffled = symmetric_infonce(images[order], texts[order], factor, positives(labels[order]))
    assert loss >= 0
    torch.testing.assert_close(loss, swapped)
    torch.testing.assert_close(loss, shuffled)


def test_labels_of_any_column_make_positives_and_absent_ones_do_not() -> None:
    labels = torch.tensor([[0, -1], [0, 5], [1, 5], [2, -1]])
    expected = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert positives(labels).int().tolist() == expected


def test_an_equal_caption_is_no_false_negative() -> None:
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=1)
    scale = torch.tensor(100.0)
    told = symmetric_infonce(vectors, vectors, scale, positives(torch.tensor([[0], [0], [1]])))
    clip = symmetric_infonce(vectors, vectors, scale, positives(torch.tensor([[0], [1], [2]])))
    # Both have entropy ln 2 left on two of three rows; only CLIP's loss asks to part them.
    assert float(told) == pytest.approx(float(clip), abs=1e-6)
    apart = F.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]]), dim=1)
    told_apart = symmetric_infonce(apart, apart, scale, positives(torch.tensor([[0], [0], [1]])))
    assert told_apart > told


def test_accuracy_counts_texts_whose_nearest_image_is_a_positive() -> None:
    images = torch.eye(3)
    texts = torch.eye(3)[[1, 0, 2]]
    assert batch_accuracy(images, texts, positives(torch.arange(3)[:, None])) == pytest.approx(
        1 / 3
    )
    assert batch_accuracy(images, texts, positives(torch.tensor([[0], [0], [1]]))) == 1


def test_the_sigmoid_loss_is_siglips() -> None:
    """Algorithm 1 of Zhai et al. 2023, written as its formula."""
    generator = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(5, 8, generator=generator), dim=1) for _ in range(2))
    scale, bias = torch.tensor(7.0), torch.tensor(-3.0)
    expected = 0.0
    for i in range(5):
        for j in range(5):
            logit = float(scale * images[i] @ texts[j] + bias)
            sign = 1 if i == j else -1
            expected += math.log(1 + math.exp(-sign * logit)) / 5
    found = sigmoid_loss(images, texts, scale, bias, torch.eye(5, dtype=torch.bool))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def slow_late_interaction(
    cells: np.ndarray, tokens: list[np.ndarray], scale: float, positive: np.ndarray
) -> float:
    """FILIP's loss pair by pair, of texts without padding."""
    size = len(cells)
    images, texts = np.empty((size, size)), np.empty((size, size))
    for i in range(size):
        for j in range(size):
            cosines = [[float(cell @ token) for token in tokens[j]] for cell in cells[i]]
            images[i, j] = np.mean([max(row) for row in cosines])
            texts[j, i] = np.mean([max(column) for column in zip(*cosines, strict=True)])
    total = 0.0
    for rows in (scale * images, scale * texts):
        for row, own in zip(rows, positive, strict=True):
            shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            total -= np.log(shares[own]).mean() / (2 * size)
    return total


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(1, 5), st.integers(0, 1000), st.floats(1, 30))
def test_late_interaction_is_filips(size: int, count: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.standard_normal((size, count, 6))
    cells /= np.linalg.norm(cells, axis=2, keepdims=True)
    lengths = rng.integers(1, 7, size)
    tokens = [rng.standard_normal((length, 6)) for length in lengths]
    tokens = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in tokens]
    padded = np.stack([np.pad(each, ((0, 7 - len(each)), (0, 0))) for each in tokens])
    positive = positives(torch.from_numpy(rng.integers(-1, size, (size, 2))))
    found = late_interaction(
        torch.from_numpy(cells), torch.from_numpy(padded), torch.tensor(scale), positive
    )
    expected = slow_late_interaction(cells, tokens, scale, positive.numpy())
    assert float(found) == pytest.approx(expected, rel=1e-6)
