"""Provenance of a report: inputs, versions, command."""

from __future__ import annotations

import csv
import io
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from encoders.inference.dual_encoder import DualEncoder
from eval.collection.pool import Pool
from ingest.corpus.corpus import Corpus
from ranking.types import Engine

__all__ = ["provenance", "training_curves"]

_PACKAGES = ("rocosearch", "numpy", "scipy", "torch", "sentence-transformers", "rank-bm25")


def provenance(
    engine: Engine,
    encoder: DualEncoder | None,
    corpus: Corpus,
    pool: Pool,
    command: str,
    seed: int,
) -> dict[str, object]:
    """What metrics.json tells of the origin of its figures, as JSON values."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "corpus": {
            "content_sha256": corpus.manifest.content_sha256,
            "format": corpus.manifest.source_format,
            "records": len(corpus),
            "splits": corpus.manifest.splits,
        },
        "index": {"documents": engine.count(), **engine.info().details},
        "pool": {"split": pool.split, "scope": pool.scope, "documents": len(pool)},
        "encoder": None if encoder is None else _encoder(encoder),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def training_curves(encoder: DualEncoder | None) -> dict[str, list[tuple[float, float]]]:
    """Points (step, value) of every column of the encoder's training.csv; {} without it."""
    rows = list(csv.DictReader(io.StringIO(encoder.curves))) if encoder else []
    return {
        name: [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        for name in (rows[0] if rows else ())
    }


def _encoder(encoder: DualEncoder) -> dict[str, object]:
    curves = training_curves(encoder)
    return {
        "fingerprint": encoder.manifest.fingerprint,
        "dimension": encoder.manifest.dimension,
        "trained_on_pairs": int(curves["pairs"][-1][1]) if curves.get("pairs") else None,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
