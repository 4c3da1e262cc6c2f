"""encoder.json is checked against the weights before anything is encoded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from encoders.base.errors import UserError
from encoders.model.clip import Encoder

NAN = float("nan")


@pytest.mark.parametrize(
    "change",
    [
        {"dimension": 17},
        {"dimension": "16"},
        {"image_size": 10**9},
        {"image_size": 33},
        {"max_tokens": 0},
        {"image_std": (0.0,)},
        {"image_mean": (NAN,)},
        {"image_mean": (0.1, 0.2)},
        {"normalized": False},
        {"image_mode": "RGB"},
        {"logit_scale": NAN},
    ],
    ids=str,
)
def test_a_manifest_that_is_not_the_weights_own(tmp_path, small_encoder, change):
    small_encoder.save(tmp_path / "e")
    replace(small_encoder.manifest, **change).save(tmp_path / "e")
    with pytest.raises(UserError, match=next(iter(change)) + "|finite|deviation"):
        Encoder.load(tmp_path / "e")


@pytest.mark.parametrize(
    "change",
    [
        (b'"graphs"', b'"graphz"'),
        (b'"dimension"', b'"dimensi\xff"'),
        (b'"dimension": ', b'"dimension": "'),
        (b"{", b"[" * 100_000),
        (b'"image_mean": [', b'"image_mean": null, "x": ['),
        (b'"image_std": [', b'"image_std": null, "x": ['),
    ],
    ids=str,
)
def test_a_damaged_manifest_is_told_in_plain_words(tmp_path, small_encoder, change):
    small_encoder.save(tmp_path / "e")
    path = tmp_path / "e" / "encoder.json"
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(UserError) as caught:
        Encoder.load(tmp_path / "e")
    assert "encoder.json" in str(caught.value)
    for word in ("__init__", "codec", "Expecting", "delimiter", "recursion", "NoneType"):
        assert word not in str(caught.value)


def test_weights_that_are_not_finite(tmp_path, small_encoder):
    state = {name: value.clone() for name, value in small_encoder.module.state_dict().items()}
    name = [name for name, value in state.items() if value.is_floating_point()][-1]
    broken = dict(state)
    broken[name] = torch.full_like(state[name], NAN)
    small_encoder.module.load_state_dict(broken)
    try:
        Encoder(small_encoder.module).save(tmp_path / "e")
    finally:
        small_encoder.module.load_state_dict(state)
    with pytest.raises(UserError, match="NaN or infinity"):
        Encoder.load(tmp_path / "e")
