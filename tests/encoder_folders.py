"""Whole encoder folders for tests: each encoder's towers are exported once in a test run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.export.towers import export_towers
from encoders.inference.reranker import RerankerManifest
from encoders.model.clip import Encoder
from encoders.model.manifest import Manifest
from encoders.training.reranking import MatchingPairs, RerankerSettings, train_reranker
from tests.made_once import made_once


def reranker_folder(fingerprint: str, dimension: int) -> Path:
    """A folder with a re-ranker of that encoder alone, trained for a moment on drawn pairs."""

    def train(folder: Path) -> None:
        train_reranker(drawn_pairs(24, dimension), drawn_pairs(4, dimension), folder, "any", TINY)

    def name_encoder(folder: Path) -> None:
        shutil.copytree(made_once(f"reranker-{dimension}", train), folder, dirs_exist_ok=True)
        manifest = RerankerManifest.load(folder)
        assert manifest is not None
        replace(manifest, encoder=fingerprint).save(folder)

    return made_once(f"reranker-{dimension}-{fingerprint}", name_encoder)


TINY = RerankerSettings(tokens=5, width=8, layers=1, heads=2, epochs=1, negatives=2, pool=5)


def drawn_pairs(count: int, dimension: int, patches: int = 16) -> MatchingPairs:
    """Pairs that share nothing, of texts of one to eight tokens."""
    rng = np.random.default_rng(count)

    def unit(*shape: int) -> np.ndarray:
        drawn = rng.standard_normal((*shape, dimension))
        return np.float32(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))

    labels = np.stack([np.arange(count), np.full(count, -1)], axis=1)
    tokens = [unit(1 + row % 8) for row in range(count)]
    return MatchingPairs(unit(count), unit(count), unit(count, patches), tokens, labels)


def save_whole(encoder: Encoder, folder: Path) -> Path:
    """Write the encoder's folder with its ONNX graphs, and return it."""

    def export(new: Path) -> None:
        encoder.save(new)
        export_towers(encoder, new)

    encoder.save(folder)
    made = made_once(f"encoder-{encoder.manifest.fingerprint}", export)
    graphs = Manifest.load(made).graphs
    for graph in graphs:
        shutil.copy(made / graph, folder)
    replace(encoder.manifest, graphs=graphs).save(folder)
    return folder
