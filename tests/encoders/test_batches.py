from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.base.progress import silent
from encoders.model.clip import Encoder
from encoders.training.augment import NO_AUGMENTATION
from encoders.training.augment_text import NO_TEXT_AUGMENTATION, TextAugmentation, augment_text
from encoders.training.batches import Batches, Prefetch, _included
from encoders.training.distributed import Team
from encoders.training.objectives import contrastive_backward
from encoders.training.pairs import Pairs, read_pairs
from encoders.training.presets import TrainingConfig

SOLO = Team(torch.device("cpu"))
Drawn = list[tuple[Image.Image, str, str]]
CAPTION = "Chest x-ray. A small nodule is seen! No effusion."


@pytest.fixture(scope="module")
def pairs(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path_factory: pytest.TempPathFactory
) -> Pairs:
    with_concepts = [(*pair, ("square",) if "square" in pair[1] else ()) for pair in drawn_pairs]
    work = tmp_path_factory.mktemp("work")
    return read_pairs(with_concepts, small_training.model.preprocessing, work, "reading", silent)


def test_large_sets_are_kept_in_a_file(
    drawn_pairs: Drawn,
    small_training: TrainingConfig,
    pairs: Pairs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("encoders.training.pairs.IN_MEMORY", 10_000)
    monkeypatch.setattr("encoders.training.pairs.CHUNK", 20)
    mapped = read_pairs(
        drawn_pairs, small_training.model.preprocessing, tmp_path, "reading", silent
    )
    assert isinstance(mapped.pixels.base, np.memmap)
    np.testing.assert_array_equal(mapped.pixels, pairs.pixels)
    rows = np.array([3, 1])
    assert torch.equal(mapped.images(rows), pairs.images(rows))


def test_an_epoch_sees_every_pair_once_and_each_epoch_in_another_order(
    pairs: Pairs, small_encoder: Encoder, small_training: TrainingConfig
) -> None:
    batches = Batches(pairs, small_encoder.module.tokenizer, small_training, SOLO)
    assert batches.steps_per_epoch == 5
    first = np.concatenate([batches.at(step).rows for step in range(5)])
    second = np.concatenate([batches.at(step).rows for step in range(5, 10)])
    assert sorted(first) == sorted(second) == list(range(90))
    assert first.tolist() != second.tolist()
    np.testing.assert_array_equal(batches.at(3).rows, first[54:72])


def test_a_balanced_epoch_draws_fewer_of_a_frequent_concept(
    pairs: Pairs, small_encoder: Encoder, small_training: TrainingConfig
) -> None:
    config = replace(small_training, balance_cap=6, batch=6)
    batches = Batches(pairs, small_encoder.module.tokenizer, config, SOLO)
    assert batches.steps_per_epoch == 11  # of 60 pairs without a concept and 6 of 30 with one
    rows = np.concatenate([batches.at(step).rows for step in range(11)])
    squares = sum("square" in pairs.texts[row] for row in rows)
    assert squares < 18
    assert len(set(rows)) == 66


def test_prefetching_changes_nothing(
    pairs: Pairs, small_encoder: Encoder, small_training: TrainingConfig
) -> None:
    config = replace(small_training, text_augmentation=TextAugmentation(words=0.3))
    plain = Batches(pairs, small_encoder.module.tokenizer, config, SOLO)
    ahead = Prefetch(Batches(pairs, small_encoder.module.tokenizer, config, SOLO).at)
    for step in (0, 1, 2, 7, 8):
        assert torch.equal(plain.at(step).input_ids, ahead.at(step).input_ids)
    ahead.close()


@pytest.mark.parametrize(("locked", "late"), [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_gradient_caching_gives_the_gradients_of_the_whole_batch(
    pairs: Pairs, small_encoder: Encoder, small_training: TrainingConfig, locked: bool, late: float
) -> None:
    module = small_encoder.module
    module.requires_grad_()
    module.image.requires_grad_(not locked)
    module.image.to(memory_format=torch.contiguous_format)  # run.SAFE_BATCH
    batch = Batches(pairs, module.tokenizer, replace(small_training, batch=20), SOLO).at(0)
    pixels = batch.images.float() / 255
    whole, cached = (_gradients(module, pixels, batch, micro, late) for micro in (0, 7))
    assert whole.keys() == cached.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(cached[name], gradient, rtol=1e-3, atol=1e-6)
    module.requires_grad_().zero_grad()
    module.image.to(memory_format=torch.channels_last)


def _gradients(module, pixels, batch, micro, late):
    module.zero_grad()
    contrastive_backward(module, pixels, batch, SOLO, micro, late=late)
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def test_text_augmentation_is_off_unless_asked() -> None:
    rng = np.random.default_rng(0)
    assert augment_text(CAPTION, ("ct",), NO_TEXT_AUGMENTATION, rng) == CAPTION


def test_sentences_are_kept_whole_and_in_order() -> None:
    sentences = ["Chest x-ray.", "A small nodule is seen!", "No effusion."]
    runs = {" ".join(sentences[i:j]) for i in range(3) for j in range(i + 1, 4)}
    rng = np.random.default_rng(0)
    seen = {augment_text(CAPTION, (), TextAugmentation(sentences=1), rng) for _ in range(200)}
    assert seen == runs


def test_words_are_dropped_but_never_all() -> None:
    rng = np.random.default_rng(0)
    assert augment_text("chest x-ray", (), TextAugmentation(words=1.0), rng) == "chest"
    assert augment_text("", (), TextAugmentation(words=1.0), rng) == ""


def test_concepts_are_added_shuffled() -> None:
    rng = np.random.default_rng(0)
    settings = TextAugmentation(concepts=1.0)
    seen = {augment_text("x.", ("a", "b"), settings, rng) for _ in range(30)}
    assert seen == {"x. a, b", "x. b, a"}


def test_no_augmentation_is_a_value() -> None:
    assert NO_AUGMENTATION.zoom == NO_AUGMENTATION.noise == 0


def test_a_pair_is_drawn_with_the_probability_of_its_weight():
    """MetaCLIP's: a pair of weight 1 is in every epoch, the others as often as their weight."""
    weights = np.array([1.0, 1.0, 0.5, 0.2, 0.9, 0.3, 1.0, 0.05, 0.7])
    rng, counts, turns = np.random.default_rng(0), np.zeros(9), 4000
    for _ in range(turns):
        rows = _included(weights, rng.permutation(9), rng)
        assert len(set(rows)) == len(rows)
        counts[rows] += 1
    np.testing.assert_allclose(counts / turns, weights, atol=0.03)
    assert (counts[weights == 1] == turns).all()
