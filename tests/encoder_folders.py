"""Whole encoder folders for tests: each encoder's towers are exported once in a process."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.base.storage import sha256_bytes
from encoders.export.towers import export_towers
from encoders.model.clip import Encoder
from encoders.training.reranking import MatchingPairs, RerankerSettings, train_reranker

_rerankers: dict[tuple[str, int], Path] = {}


def reranker_folder(fingerprint: str, dimension: int) -> Path:
    """A folder with a re-ranker of that encoder alone, trained for a moment on drawn pairs."""
    key = fingerprint, dimension
    if key not in _rerankers:
        folder = Path(tempfile.mkdtemp())
        train_reranker(
            drawn_pairs(24, dimension), drawn_pairs(4, dimension), folder, fingerprint, TINY
        )
        _rerankers[key] = folder
    return _rerankers[key]


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


_exported: dict[str, dict[str, bytes]] = {}


def save_whole(encoder: Encoder, folder: Path) -> Path:
    """Write the encoder's folder with its ONNX graphs, and return it."""
    encoder.save(folder)
    name = encoder.manifest.fingerprint
    if name not in _exported:
        graphs = export_towers(encoder, folder).manifest.graphs
        _exported[name] = {graph: (folder / graph).read_bytes() for graph in graphs}
    for graph, content in _exported[name].items():
        (folder / graph).write_bytes(content)
    graphs = {graph: sha256_bytes(content) for graph, content in _exported[name].items()}
    replace(encoder.manifest, graphs=graphs).save(folder)
    return folder
