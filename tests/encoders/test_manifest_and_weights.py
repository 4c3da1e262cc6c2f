"""encoder.json is checked against the weights before anything is encoded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from encoders.base.errors import UserError
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.clip import Encoder
from encoders.model.manifest import Manifest, ManifestError
from tests.power.encoder import make_encoder

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


def changed(value: object) -> object:
    """Another value of the same kind, which an encoder could have."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [changed(each) for each in value]
    if isinstance(value, dict):
        return {f"x{name}": each for name, each in value.items()}
    return f"{value}"[:-1] + "0"


def test_no_value_of_a_manifest_changes_unnoticed(tmp_path, small_encoder):
    """One that stays possible: logit_scale decides no vector, so no fingerprint tells."""
    saved = replace(small_encoder.manifest, graphs={"text.onnx": "0"})
    saved.save(tmp_path)
    path = tmp_path / "encoder.json"
    content = json.loads(path.read_text())
    assert Manifest.load(tmp_path) == saved
    for name, value in content.items():
        for other in ({**content, name: changed(value)}, {**content, name: None}):
            path.write_text(json.dumps(other))
            with pytest.raises(ManifestError, match=r"encoder\.json"):
                Manifest.load(tmp_path)
        path.write_text(json.dumps({k: v for k, v in content.items() if k != name}))
        with pytest.raises(ManifestError, match=r"encoder\.json"):
            Manifest.load(tmp_path)
    path.write_text(json.dumps(content, indent=7, sort_keys=True))
    assert Manifest.load(tmp_path) == saved  # the same values


def earlier(path: Path, number: int, **changes: object) -> None:
    """What an earlier version wrote: format 2 has no checksum."""
    content = {**json.loads(path.read_text()), "format": number, **changes}
    del content["checksum"]
    path.write_text(json.dumps(content))


def test_a_manifest_of_an_earlier_version_is_read(tmp_path, small_encoder):
    saved = small_encoder.manifest
    saved.save(tmp_path)
    earlier(tmp_path / "encoder.json", 2)
    assert Manifest.load(tmp_path) == saved
    earlier_format = json.loads((tmp_path / "encoder.json").read_text())
    Manifest.load(tmp_path).save(tmp_path)  # as an export does
    content = json.loads((tmp_path / "encoder.json").read_text())
    assert content.pop("checksum")
    assert content == {**earlier_format, "format": 3}


def test_a_search_refuses_a_vocabulary_that_was_changed(tmp_path):
    """Another merge makes other tokens, and vectors, without any error."""
    make_encoder(tmp_path / "e", 0, 8)
    path = tmp_path / "e" / "tokenizer.json"
    assert OnnxEncoder.load(tmp_path / "e").encode_texts(["chest"]).shape == (1, 8)
    content = json.loads(path.read_text())
    content["model"]["merges"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=r"tokenizer\.json does not match its hash"):
        OnnxEncoder.load(tmp_path / "e")


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
