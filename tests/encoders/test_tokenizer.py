from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from encoders.model.manifest import ManifestError
from encoders.model.tokenizer import TokenizerError, batch_ids, load_tokenizer, train_tokenizer

TEXTS = ["Chest X-ray of the left lung.", "CT of the abdomen, axial.", "chest x-ray, lateral"] * 4
TOKENIZER = train_tokenizer(TEXTS, vocabulary=320, max_tokens=12)


def test_the_same_texts_give_the_same_tokenizer() -> None:
    again = train_tokenizer(TEXTS, vocabulary=320, max_tokens=12)
    assert again.to_str() == TOKENIZER.to_str()


def test_the_file_has_truncation_and_no_padding() -> None:
    content = json.loads(TOKENIZER.to_str())
    assert content["padding"] is None
    assert content["truncation"]["max_length"] == 12
    assert content["truncation"]["strategy"] == "LongestFirst"


def test_ids_begin_and_end_with_the_special_tokens_and_are_padded_with_zero() -> None:
    ids, mask = batch_ids(TOKENIZER, ["chest", "chest x-ray of the left lung", ""])
    assert ids[:, 0].tolist() == [1, 1, 1]
    assert (ids * (1 - mask) == 0).all()
    last = np.take_along_axis(ids, mask.sum(axis=1, keepdims=True) - 1, axis=1)
    assert last.flatten().tolist() == [2, 2, 2]


@settings(deadline=None)
@given(st.lists(st.text(st.characters()), min_size=1, max_size=4))
def test_any_text_has_ids(texts: list[str]) -> None:
    ids, mask = batch_ids(TOKENIZER, texts)
    assert ids.shape == mask.shape
    assert ids.shape[1] <= 12
    assert (mask.sum(axis=1) >= 2).all()


def test_a_lone_surrogate_and_ten_thousand_words() -> None:
    ids, _ = batch_ids(TOKENIZER, ["\ud800 chest \x00", "word " * 10_000])
    assert ids.shape[1] == 12


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="damaged"):
        load_tokenizer(tmp_path)
