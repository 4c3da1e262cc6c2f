"""Settings that would change nothing in a training are refused, or told of."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from encoders.base.errors import Notice, UserError
from rocosearch.pipeline import build_corpus, train_encoder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return build_corpus("phantoms:24", tmp_path_factory.mktemp("effects") / "corpus").path


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"resume": True, "replace": True}, UserError, "--replace has no effect with --resume"),
        ({"concept_fields": ["modality"]}, UserError, "--concept-field has no effect"),
        (
            {"concept_fields": ["nosuch"], "concept_pairs": True},
            UserError,
            "No pair has a field 'nosuch'",
        ),
    ],
)
def test_the_python_api_refuses_too(corpus, tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        train_encoder(corpus, tmp_path / "out", preset="tiny", epochs=1, **changes)
    assert not (tmp_path / "out").exists()


def test_what_a_small_corpus_leaves_without_an_effect_is_told(corpus, tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", Notice)
        train_encoder(corpus, tmp_path / "out", preset="tiny", epochs=1, batch=512)
    (said,) = [str(each.message) for each in told if issubclass(each.category, Notice)]
    assert said.startswith("A batch has")
    assert said.endswith("not 512: there are no more.")
