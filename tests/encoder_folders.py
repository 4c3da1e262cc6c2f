"""Whole encoder folders for tests: each encoder's towers are exported once in a process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from encoders.base.storage import sha256_bytes
from encoders.export.towers import export_towers
from encoders.model.clip import Encoder

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
