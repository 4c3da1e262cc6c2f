"""Add missing ONNX graphs to an encoder folder."""

from __future__ import annotations

from pathlib import Path

from encoders.base.extras import need
from encoders.base.progress import Progress, silent
from encoders.inference.graph import Graph
from encoders.inference.onnx_encoder import TEXT_GRAPH, TOKEN_VECTORS
from encoders.model.manifest import Manifest

__all__ = ["ensure_graphs"]


def ensure_graphs(folder: Path, progress: Progress = silent, *, parts: bool = False) -> Manifest:
    """Export the towers of an encoder's folder that has no ONNX graphs yet; return its manifest.

    parts: also where they give no vectors of tokens, as those of earlier versions.

    torch is needed, and loaded, only if there is something to export. Raises as
    `encoders.export.towers.export_towers` does, and MissingExtraError if torch is not installed.
    """
    manifest = Manifest.load(folder)
    if manifest.graphs and not (parts and TOKEN_VECTORS not in Graph(folder / TEXT_GRAPH).outputs):
        return manifest
    need("torch", f"Exporting the towers of {folder}, made by an earlier version,")
    # Not at the top: they take seconds to load, and most encoders have their graphs.
    from encoders.export.towers import export_towers  # noqa: PLC0415
    from encoders.model.clip import Encoder  # noqa: PLC0415

    progress("export towers", 0, 1, "once for each encoder, some seconds")
    manifest = export_towers(Encoder.load(folder, device="cpu"), folder).manifest
    progress("export towers", 1, 1)
    return manifest
