"""A re-ranker: what it learns, what it is saved as, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.base.errors import UserError
from encoders.inference.reranker import (
    RERANKER,
    RERANKER_GRAPH,
    Reranker,
    RerankerError,
    RerankerManifest,
)
from encoders.model.manifest import ManifestError
from encoders.training.checkpoint import ResumeError
from encoders.training.reranking import MatchingPairs, RerankerSettings, train_reranker
from tests.encoder_folders import drawn_pairs, reranker_folder

ENCODER = "ab" * 32
SIZE = 16
WORDS = np.eye(SIZE, dtype=np.float32)[:6]
CELLS = np.eye(SIZE, dtype=np.float32)[6:12]


def pairs_of(count: int, seed: int) -> MatchingPairs:
    """Each text has a word of six, its image the cell that goes with it, at one of four places.

    No word is like its cell, and the whole vectors say nothing: only attention can tell.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 6, count)
    noise = rng.standard_normal((count, 4, SIZE)).astype(np.float32) * 0.05
    patches = noise + WORDS[kinds][:, None] * 0.01
    patches[np.arange(count), rng.integers(0, 4, count)] = CELLS[kinds]
    images, texts = rng.standard_normal((2, count, SIZE)).astype(np.float32)
    labels = np.stack([kinds, np.full(count, -1)], axis=1)
    return MatchingPairs(images, texts, patches, [WORDS[k : k + 1] for k in kinds], labels)


@pytest.fixture(scope="module")
def folder() -> Path:
    return reranker_folder(ENCODER, SIZE)


def test_it_learns_what_the_first_stage_cannot_see(tmp_path):
    settings = RerankerSettings(4, width=32, layers=1, epochs=6, window=60, learning_rate=3e-3)
    trained = train_reranker(pairs_of(240, 1), pairs_of(60, 2), tmp_path, ENCODER, settings)
    assert trained.first_stage < 0.5
    assert trained.mrr10 > 0.75
    assert "validation MRR@10" in trained.sentence()
    model = Reranker.load(tmp_path, ENCODER)
    others = pairs_of(60, 3)
    scores = np.stack([model.score(tokens, others.patches) for tokens in others.tokens])
    right = others.labels[:, None, 0] == others.labels[None, :, 0]
    assert scores[right].mean() > scores[~right].mean() + 1


def test_interrupted_and_resumed_it_ends_as_if_never_stopped(tmp_path):
    pairs, held_out = pairs_of(32, 1), pairs_of(10, 2)
    settings = RerankerSettings(4, width=8, layers=1, epochs=3, window=10, checkpoint_seconds=0.0)

    def stop(stage: str, done: int, total: int | None, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    whole, halted = tmp_path / "whole", tmp_path / "halted"
    for folder in (whole, halted):
        folder.mkdir()
    never = train_reranker(pairs, held_out, whole, ENCODER, settings)
    with pytest.raises(KeyboardInterrupt):
        train_reranker(pairs, held_out, halted, ENCODER, settings, stop)
    assert not list(halted.iterdir())
    with pytest.raises(ResumeError, match="continue with --resume"):
        train_reranker(pairs, held_out, halted, ENCODER, settings)
    other = replace(settings, seed=1)
    with pytest.raises(ResumeError, match="other settings or data"):
        train_reranker(pairs, held_out, halted, ENCODER, other, resume=True)
    resumed = train_reranker(pairs, held_out, halted, ENCODER, settings, resume=True)
    assert (resumed.fingerprint, resumed.mrr10) == (never.fingerprint, never.mrr10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halted", "whole"]


def test_the_graph_scores_as_many_documents_as_there_are(folder):
    model, drawn = Reranker.load(folder, ENCODER), drawn_pairs(60, SIZE)
    tokens, patches = drawn.tokens[3], drawn.patches
    scores = model.score(tokens, patches)
    one_by_one = [model.score(tokens, patches[n : n + 1])[0] for n in range(60)]
    np.testing.assert_allclose(scores, one_by_one, atol=1e-5)
    # As a field of int8 holds them, and with more tokens than the model reads.
    np.testing.assert_allclose(model.score(tokens, 127 * patches), scores, atol=1e-4)
    long = np.concatenate([drawn.tokens[7], tokens])
    np.testing.assert_array_equal(model.score(long, patches), model.score(long[:5], patches))


def test_without_tokens_or_patches_it_is_zero(folder):
    model, drawn = Reranker.load(folder, ENCODER), drawn_pairs(4, SIZE)
    assert not model.score(drawn.tokens[0][:0], drawn.patches).any()
    assert not model.score(drawn.tokens[0], np.zeros_like(drawn.patches)).any()
    assert model.score(drawn.tokens[0], drawn.patches[:0]).shape == (0,)


def test_it_belongs_to_one_encoder(folder, tmp_path):
    assert Reranker.load(tmp_path, ENCODER) is None
    with pytest.raises(RerankerError, match="was trained on the encoder abababab"):
        Reranker.load(folder, "cd" * 32)
    manifest = RerankerManifest.load(folder)
    assert manifest.fingerprint != replace(manifest, encoder="cd" * 32).fingerprint
    assert manifest.fingerprint == replace(manifest, graph_sha256="").fingerprint


@pytest.mark.parametrize("content", ["", "[]", '{"fingerprint": ""}', "edited"])
def test_a_damaged_manifest_is_refused_in_a_sentence(folder, tmp_path, content):
    if content == "edited":
        told = json.loads((folder / RERANKER).read_text())
        content = json.dumps({**told, "tokens": 7})
    (tmp_path / RERANKER).write_text(content)
    with pytest.raises(RerankerError, match=r"train (it|the re-ranker) again"):
        RerankerManifest.load(tmp_path)


def test_a_changed_graph_is_refused(folder, tmp_path):
    (tmp_path / RERANKER).write_text((folder / RERANKER).read_text())
    (tmp_path / RERANKER_GRAPH).write_bytes((folder / RERANKER_GRAPH).read_bytes()[:-1])
    drawn = drawn_pairs(2, SIZE)
    with pytest.raises(ManifestError, match="does not match its hash"):
        Reranker.load(tmp_path, ENCODER).score(drawn.tokens[0], drawn.patches)


def test_pairs_that_cannot_be_told_apart_are_refused(tmp_path):
    drawn = drawn_pairs(4, SIZE)
    same = replace(drawn, labels=np.zeros((4, 2), np.int64))
    with pytest.raises(UserError, match="nothing to tell apart"):
        train_reranker(same, drawn, tmp_path, ENCODER)
    with pytest.raises(UserError, match="at least two pairs"):
        train_reranker(drawn_pairs(1, SIZE), drawn, tmp_path, ENCODER)
    assert not list(tmp_path.iterdir())
