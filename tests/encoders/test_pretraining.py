"""One tower learns before both do, from images or captions alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.base.progress import silent
from encoders.model.clip import Encoder
from encoders.training.checkpoint import ResumeError
from encoders.training.distributed import join_team
from encoders.training.optimizer import FreezeError
from encoders.training.pairs import read_pairs
from encoders.training.pretraining import FILE_NAME, cut, learn_texts, pretrain
from encoders.training.train import Further, train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return Encoder.load(folder).module.state_dict()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.74, 1.0])
def test_both_parts_of_a_caption_have_words(share):
    for count in range(2, 12):
        words = [str(number) for number in range(count)]
        first, second = cut(" ".join(words), share)
        assert first.split() + second.split() == words
        assert first
        assert second


def test_pretraining_moves_its_tower_and_is_seeded(
    small_training, drawn_pairs, small_encoder, tmp_path
):
    texts = [f"{text} seen twice" for _, text, _ in drawn_pairs]
    config = replace(small_training, image_epochs=2, text_epochs=2)
    made = []
    for turn in range(2):
        module = copy.deepcopy(small_encoder.module)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        pairs = read_pairs(
            drawn_pairs, module.config.preprocessing, tmp_path, f"reading {turn}", silent
        )
        work = tmp_path / str(turn)
        work.mkdir()
        losses = []
        pretrain(
            module, [pairs], texts, config, join_team("cpu"), work,
            lambda stage, _done, _total, note="", kept=losses: kept.append((stage, note)),
        )  # fmt: skip
        made.append((before, module.state_dict(), losses))
    before, after, losses = made[0]
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"image", "text"}
    assert all(torch.equal(after[name], made[1][1][name]) for name in after)
    images = [float(note.split()[1]) for stage, note in losses if "image" in stage]
    assert images[-1] < images[0]


def test_the_only_step_moves_the_tower(small_training, small_encoder):
    module = copy.deepcopy(small_encoder.module)
    texts = [f"a caption of number {row}" for row in range(18)]
    learn_texts(
        module.text, module.tokenizer, texts, replace(small_training, text_epochs=1), silent
    )
    before = small_encoder.module.text.state_dict()
    moved = [n for n, v in module.text.state_dict().items() if not torch.equal(v, before[n])]
    assert "projection.weight" in moved


def test_images_without_a_caption_teach(small_training, drawn_pairs, tmp_path):
    config = replace(small_training, epochs=1, image_epochs=1)
    alone = [image for image, _, _ in drawn_pairs[36:]]
    train(drawn_pairs[:36], [], tmp_path / "a", config, further=Further(images=alone))
    train(drawn_pairs[:36], [], tmp_path / "b", config)
    assert any(
        not torch.equal(value, weights(tmp_path / "b")[name])
        for name, value in weights(tmp_path / "a").items()
    )


def test_an_interrupted_run_goes_on_from_the_pretrained_towers(
    small_training, drawn_pairs, tmp_path, monkeypatch
):
    config = replace(small_training, image_epochs=1, text_epochs=1, checkpoint_seconds=0.0)
    train(drawn_pairs, [], tmp_path / "whole", config)

    def interrupt(stage: str, done: int, total: int | None, note: str = "") -> None:
        if stage == "training" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(drawn_pairs, [], tmp_path / "cut", config, interrupt)
    assert (tmp_path / ".cut.training" / FILE_NAME).exists()
    with pytest.raises(ResumeError):
        train(drawn_pairs, [], tmp_path / "cut", config)
    train(drawn_pairs, [], tmp_path / "cut", config, resume=True)
    for name, value in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(value, weights(tmp_path / "cut")[name])


def test_a_frozen_tower_cannot_be_pretrained(small_training, drawn_pairs, tmp_path):
    config = replace(small_training, freeze=("image",), image_epochs=1)
    with pytest.raises(FreezeError, match="image tower is frozen"):
        train(drawn_pairs, [], tmp_path / "a", config)


def test_a_frozen_part_stays_while_the_rest_of_its_tower_learns(
    small_training, drawn_pairs, small_encoder
):
    module = copy.deepcopy(small_encoder.module)
    before = copy.deepcopy(module.text.state_dict())
    config = replace(small_training, text_epochs=3, freeze=("image", "text.tokens"))
    texts = [f"{text} seen twice" for _, text, _ in drawn_pairs]
    learn_texts(module.text, module.tokenizer, texts, config, silent)
    moved = {
        name for name, value in module.text.state_dict().items() if not value.equal(before[name])
    }
    assert "tokens.weight" not in moved
    assert "projection.weight" in moved
