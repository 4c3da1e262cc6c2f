from __future__ import annotations

import copy

import pytest
import torch

from encoders.model.clip import Encoder
from encoders.training.optimizer import (
    FreezeError,
    freeze,
    layers_below_top,
    make_optimizer,
    rate_at,
    take_step,
    without_effect,
)


def test_the_rate_rises_then_falls_to_zero() -> None:
    rates = [rate_at(share, 1.0, 0.1) for share in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_layers_are_counted_from_the_top_of_each_tower() -> None:
    names = ["image.patches.weight", "image.blocks.0.x", "image.blocks.1.x", "image.norm.weight",
             "text.tokens.weight", "text.blocks.0.x", "logit_scale"]  # fmt: skip
    assert list(layers_below_top(names).values()) == [3, 2, 1, 0, 2, 1, 0]


def test_lower_layers_learn_slower_and_gains_do_not_decay(small_encoder: Encoder) -> None:
    optimizer = make_optimizer(small_encoder.module, 0.1, layer_decay=0.5)
    take_step(small_encoder.module, optimizer, 1.0, clip_norm=1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    module = small_encoder.module
    assert rates[id(module.text.projection.weight)] == 1
    assert rates[id(module.text.tokens.weight)] == 0.25
    for group in optimizer.param_groups:
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim >= 2 else 0)


def test_a_part_may_have_a_rate_of_its_own(small_encoder: Encoder) -> None:
    module = small_encoder.module
    optimizer = make_optimizer(module, 0.1, rates=[("text", 0.1), ("text.tokens", 0.5)])
    factors = {id(p): group["factor"] for group in optimizer.param_groups for p in group["params"]}
    assert factors[id(module.image.projection.weight)] == 1
    assert factors[id(module.text.projection.weight)] == pytest.approx(0.1)
    assert factors[id(module.text.tokens.weight)] == pytest.approx(0.05)


def test_frozen_parts_are_left_out(small_encoder: Encoder) -> None:
    module = small_encoder.module
    freeze(module, ("image",))
    moved = {id(p) for group in make_optimizer(module, 0.1).param_groups for p in group["params"]}
    assert not moved & {id(p) for p in module.image.parameters()}
    assert moved >= {id(p) for p in module.text.parameters()}
    module.requires_grad_()


def test_what_cannot_be_frozen_is_told(small_encoder: Encoder) -> None:
    with pytest.raises(FreezeError, match=r"'vision'.*image\.blocks"):
        freeze(small_encoder.module, ("vision",))
    with pytest.raises(FreezeError, match="Everything is frozen"):
        freeze(small_encoder.module, ("image", "text", "logit_scale"))
    small_encoder.module.requires_grad_()
    assert all(isinstance(p, torch.Tensor) for p in small_encoder.module.parameters())


def test_rates_of_nothing_but_0_are_refused(small_encoder: Encoder) -> None:
    rates = [("image", 0.0), ("text", 0.0), ("logit_scale", 0.0)]
    with pytest.raises(FreezeError, match="a rate of 0"):
        make_optimizer(small_encoder.module, 0.1, rates=rates)
    make_optimizer(small_encoder.module, 0.1, rates=rates[1:])


def test_rates_that_reach_nothing_are_told(small_encoder):
    module = copy.deepcopy(small_encoder.module)
    assert not without_effect(module, 0.9, [("text.blocks", 0.1)])
    freeze(module, ("image.tower", "text.tower"))
    told = without_effect(module, 0.9, [("text.blocks", 0.1), ("image", 0.1)])
    assert [sentence.split(",")[0] for sentence in told] == [
        "The rate of text.blocks has no effect",
        "The layer decay has no effect",
    ]
