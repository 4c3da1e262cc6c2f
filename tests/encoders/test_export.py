"""The exported text tower gives the encoder's vectors, or is not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from encoders.export import text_tower as export
from encoders.export.text_tower import ExportError, export_text_tower
from encoders.images.preprocess import Preprocessing
from encoders.model.clip import ClipConfig, ClipModule, Encoder
from encoders.model.resnet import ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig


def encoder_with(text: dict[str, object]) -> Encoder:
    torch.manual_seed(3)
    captions = ["chest x-ray of the lung", "mri of the brain"]
    context = int(str(text.get("context", 64)))
    tokenizer = train_tokenizer(captions, vocabulary=300, max_tokens=context)
    config = ClipConfig(
        image=ResNetConfig(widths=(8,), blocks=(1,)),
        text=TextConfig(vocabulary=tokenizer.get_vocab_size(), width=16, heads=2, **text),
        dimension=24,
        preprocessing=Preprocessing(size=16),
    )
    return Encoder(ClipModule(config, tokenizer))


@pytest.mark.parametrize(
    "text", [{}, {"causal": True, "pooling": "eos", "activation": "quick_gelu", "layers": 2}]
)
def test_parity(tmp_path: Path, text: dict[str, object]) -> None:
    encoder = encoder_with(text)
    written = export_text_tower(encoder, tmp_path / "text")
    assert written.difference < 1e-6
    model = onnx.load(written.model)
    assert [value.name for value in model.graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in model.graph.output] == ["text_embedding"]
    assert sorted(p.name for p in (tmp_path / "text").iterdir()) == ["text.onnx", "tokenizer.json"]


def test_tokenizer_is_cut_and_not_padded(tmp_path: Path) -> None:
    encoder = encoder_with({"context": 12})
    written = export_text_tower(encoder, tmp_path / "text")
    content = written.tokenizer.read_text(encoding="utf-8")
    tokenizer = type(encoder.module.tokenizer).from_str(content)
    assert tokenizer.padding is None
    assert tokenizer.truncation["max_length"] == 12
    assert len(tokenizer.encode("lung " * 50).ids) == 12


def test_another_vector_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_with({})
    honest = export._run_as_vespa
    monkeypatch.setattr(export, "_run_as_vespa", lambda *a: honest(*a) + np.float32(2e-5))
    with pytest.raises(ExportError, match="another vector than the encoder"):
        export_text_tower(encoder, tmp_path / "text")
    assert not (tmp_path / "text").exists()
