"""A trained re-ranker on ONNX Runtime: how well tokens of a text and patches of an image match.

It lies in the encoder's folder, beside the towers:

    reranker.json          what it is, and the fingerprint of the encoder that it was trained on
    reranker.safetensors   its weights
    reranker.onnx          tokens [1, T, D], patches [N, P, D] -> score [N], float32; T is
                           any length up to `tokens`, rows of 0 are none

encoders/training has the network (cross_encoder.py) and trains it (reranking.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.storage import sha256_bytes, write_whole
from encoders.inference.graph import Graph

__all__ = [
    "RERANKER",
    "RERANKER_GRAPH",
    "RERANKER_WEIGHTS",
    "Reranker",
    "RerankerError",
    "RerankerManifest",
]

RERANKER, RERANKER_GRAPH = "reranker.json", "reranker.onnx"
RERANKER_WEIGHTS = "reranker.safetensors"
BATCH = 25  # documents at a time: what lies between the layers then stays in the cache

Floats = NDArray[np.float32]


class RerankerError(UserError):
    """An encoder's re-ranker is damaged, or of another encoder."""


@dataclass(frozen=True)
class RerankerManifest:
    """What decides a re-ranker's scores.

    encoder: fingerprint of the encoder whose tokens and patches it reads. dimension: of their
    vectors. tokens: most of a text, what follows is cut. patches: of an image. width, layers,
    heads: of the network.
    """

    encoder: str
    dimension: int
    tokens: int
    patches: int
    width: int
    layers: int
    heads: int
    weights_sha256: str = ""
    graph_sha256: str = ""

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over every field that decides a score."""
        told = {**asdict(self), "graph_sha256": ""}
        return sha256_bytes(json.dumps(told, sort_keys=True).encode())

    def save(self, folder: Path) -> None:
        """Write reranker.json."""
        content = {**asdict(self), "fingerprint": self.fingerprint}
        write_whole(folder / RERANKER, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> RerankerManifest | None:
        """Read reranker.json; None where the encoder has no re-ranker. Raises RerankerError."""
        path = folder / RERANKER
        try:
            with readable(path, RerankerError):
                content = json.loads(path.read_text("utf-8"))
            stored = content.pop("fingerprint")
            manifest = cls(**content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            told = plain_reason(error)
            raise RerankerError(f"{path} cannot be read ({told}): train it again.") from None
        if manifest.fingerprint != stored:
            raise RerankerError(f"{path} was changed by hand: train the re-ranker again.")
        return manifest


class Reranker:
    """Scores of documents for a query. Threads may use it at the same time."""

    def __init__(self, manifest: RerankerManifest, graph: Path) -> None:
        self.manifest = manifest
        self._graph = Graph(graph, manifest.graph_sha256)

    @classmethod
    def load(cls, folder: Path, encoder: str) -> Reranker | None:
        """The re-ranker in an encoder's folder, or None. Raises RerankerError if it is another's.

        encoder: the encoder's fingerprint.
        """
        manifest = RerankerManifest.load(folder)
        if manifest is not None and manifest.encoder != encoder:
            raise RerankerError(
                f"The re-ranker in {folder} was trained on the encoder {manifest.encoder[:8]}, not "
                f"on {encoder[:8]}: train it again with `rocosearch train-reranker`."
            )
        return None if manifest is None else cls(manifest, folder / RERANKER_GRAPH)

    def score(self, tokens: Floats, patches: Floats) -> NDArray[np.float64]:
        """How well each document matches, float64 [N], in nats; 0 without tokens or patches.

        tokens: [T, D] of the query. patches: [N, P, D], rows of 0 where a document has fewer.
        """
        asked = tokens[None, : self.manifest.tokens]
        if not len(tokens):
            return np.zeros(len(patches))
        parts = [patches[n : n + BATCH] for n in range(0, len(patches), BATCH)]
        found = [self._graph.run("score", {"tokens": asked, "patches": part}) for part in parts]
        return np.concatenate([np.zeros(0), *found]).astype(np.float64)
