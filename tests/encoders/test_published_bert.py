"""A published BERT as text tower has the published vectors, trains, and is exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig as TheirConfig, BertModel

from encoders.export.towers import export_towers
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.architecture import EncoderError
from encoders.model.bert import BertTower
from encoders.model.clip import Encoder
from encoders.model.manifest import ManifestError
from encoders.model.tokenizer import batch_ids
from encoders.published.bert import load_bert
from encoders.published.folders import is_text_encoder
from encoders.published.single_towers import fill
from encoders.published.text_encoder import text_folder
from encoders.training.frozen import frozen_texts, text_features
from encoders.training.presets import TrainingConfig
from encoders.training.train import TrainingError, train

Drawn = list[tuple[Image.Image, str, str]]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "chest", "lung", "faint", "bright", "square",
         "disc", "bar", "upper", "lower", "left", "right", ",", "##s"]  # fmt: skip
TEXTS = ["chest", "a faint square, upper left", "lung " * 40, ""]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BertModel]:
    """A small random BERT as sentence-transformers publishes one."""
    folder = tmp_path_factory.mktemp("published")
    tokenizer = Tokenizer(models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(30)
    tokenizer.enable_padding(length=30)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    model = BertModel(
        TheirConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=40,
        )
    ).eval()
    model.save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    return folder, model


def tower_of(folder: Path, longest: int = 64) -> tuple[BertTower, Tokenizer]:
    part = load_bert(folder, longest)
    tower = BertTower(part.config, 8)
    fill(tower, part.weights)
    return tower.eval(), part.words


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_have_the_published_models_states(
    published: tuple[Path, BertModel], pooling: str
) -> None:
    folder, model = published
    modes = {f"pooling_mode_{pooling}_token{'s' * (pooling == 'mean')}": True}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    tower, words = tower_of(folder)
    assert tower.config.context == 20
    ids, mask = map(torch.from_numpy, batch_ids(words, TEXTS))
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    expected = mean if pooling == "mean" else states[:, 0]
    torch.testing.assert_close(tower.features(ids, mask), expected, rtol=0, atol=1e-5)


def test_it_trains_frozen_or_not_and_is_exported(
    published: tuple[Path, BertModel],
    drawn_pairs: Drawn,
    small_training: TrainingConfig,
    tmp_path: Path,
) -> None:
    config = replace(small_training, text_tower=str(published[0]), freeze=("text.bert",), epochs=2)
    before = load_bert(published[0], 16).weights
    for name, changes in {"frozen": {}, "tuned": {"freeze": (), "rates": (("text", 0.1),)}}.items():
        train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / name, replace(config, **changes))
        encoder = Encoder.load(tmp_path / name)
        assert encoder.manifest.max_tokens == 16
        after = encoder.module.text.state_dict()
        assert all(before[n].equal(after[n]) for n in before) == (name == "frozen")
        assert export_towers(encoder, tmp_path / name).text_difference < 1e-5


def test_a_frozen_towers_features_are_read_once(
    published: tuple[Path, BertModel], small_encoder: Encoder, small_training: TrainingConfig
) -> None:
    module = small_encoder.module
    assert frozen_texts(module, TEXTS, small_training) is None
    module.text.requires_grad_(False)
    known = frozen_texts(module, TEXTS, small_training)
    module.requires_grad_()
    assert known is not None
    assert known.equal(text_features(module, TEXTS))
    with torch.no_grad():
        vectors = module.project_text(known).numpy()
    np.testing.assert_allclose(vectors, small_encoder.encode_texts(TEXTS), atol=1e-6)


def test_what_is_no_bert_is_told(
    published: tuple[Path, BertModel],
    drawn_pairs: Drawn,
    small_training: TrainingConfig,
    tmp_path: Path,
) -> None:
    with pytest.raises(EncoderError, match=r"no config\.json"):
        load_bert(tmp_path, 64)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(EncoderError, match="'t5' model"):
        load_bert(tmp_path, 64)
    (tmp_path / "config.json").write_text((published[0] / "config.json").read_text())
    with pytest.raises(EncoderError, match=r"no model\.safetensors"):
        load_bert(tmp_path, 64)
    both = replace(small_training, text_tower=str(published[0]), start=str(tmp_path))
    with pytest.raises(TrainingError, match="its own towers"):
        train(drawn_pairs, [], tmp_path / "a", both)


def test_a_text_encoder_alone_is_converted_for_captions(
    published: tuple[Path, BertModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder, kept = published[0], text_folder(published[0])
    assert is_text_encoder(folder)
    assert text_folder(folder) == kept
    assert {path.name for path in kept.iterdir()} == {"encoder.json", "tokenizer.json", "text.onnx"}
    encoder = OnnxEncoder.load(kept)
    assert (encoder.manifest.dimension, encoder.manifest.max_tokens) == (32, 20)
    tower, words = tower_of(folder)
    with torch.no_grad():
        found = tower.features(*map(torch.from_numpy, batch_ids(words, TEXTS)))
    expected = torch.nn.functional.normalize(found, dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    with pytest.raises(ManifestError, match="embeds texts alone: it can be the `--caption-enc"):
        encoder.encode_images([Image.new("L", (8, 8))])
