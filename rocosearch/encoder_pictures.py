"""Plots of an encoder, written by `rocosearch look`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from encoders.analysis.heatmap import Method, heat_map, overlay
from encoders.analysis.pictures import (
    Neighbour,
    draw_curves,
    draw_heat_maps,
    draw_neighbours,
    draw_similarities,
)
from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import whole_folder
from encoders.images.preprocess import open_image
from encoders.inference.onnx_encoder import OnnxEncoder
from ingest.corpus.corpus import Corpus
from ingest.corpus.records import Record
from ingest.vectors.embed import embed_corpus, read_embeddings
from rocosearch.open_index import embedding_encoder, load_encoder
from rocosearch.outputs import check_replaceable

__all__ = ["LookError", "look"]

CURVES, SIMILARITIES = "curves.png", "similarities.png"
NEIGHBOURS, HEAT_MAP = "neighbours.png", "heatmap.png"
SHOWN = 6  # neighbours of a query
RESOLUTION = 110  # dots an inch


class LookError(UserError):
    """The split has no images to draw."""


@dataclass(frozen=True)
class _Pool:
    """The images of a split, their captions' records and vectors."""

    encoder: OnnxEncoder
    records: Sequence[Record]
    vectors: NDArray[np.float32]

    def image(self, row: int) -> Image.Image:
        return open_image(self.records[row].image or b"")

    def nearest(self, vector: NDArray[np.float32], but: int = -1) -> list[int]:
        order = np.argsort(-(self.vectors @ vector), kind="stable")
        return [int(row) for row in order if row != but][:SHOWN]


def look(
    corpus: Path,
    encoder: Path,
    out: Path,
    *,
    text: str = "",
    image: str = "",
    split: str = "validation",
    pairs: int = 10,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Path]:
    """Write PNGs into the folder `out`, replacing it, and return their paths.

    text: the query (default: the caption of `image`). image: id of a record (default: the image
    nearest to `text`, or a random one without `text`). pairs: number of random pairs in the
    similarity matrix. Raises LookError if the split has no such images.
    """
    check_replaceable(out, HEAT_MAP, "pictures")
    opened = Corpus.open(corpus)
    embed_corpus(opened, embedding_encoder(encoder, progress), progress)
    loaded = load_encoder(encoder)
    pool = _pool(opened, loaded, split)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pool.records), min(pairs, len(pool.records)), replace=False)
    row = _row(pool, text, image, int(chosen[0]))
    text = text or pool.records[row].caption
    with whole_folder(out) as beside:
        if loaded.curves:
            _save(draw_curves(loaded.curves), beside / CURVES)
        _similarities(pool, chosen, beside / SIMILARITIES)
        _neighbours(pool, row, text, beside / NEIGHBOURS)
        _heat_maps(pool, row, text, beside / HEAT_MAP)
    return sorted(out.glob("*.png"))


def _pool(corpus: Corpus, encoder: OnnxEncoder, split: str) -> _Pool:
    ids, vectors = read_embeddings(corpus, encoder.manifest.fingerprint)
    rows = {identifier: row for row, identifier in enumerate(ids)}
    records = [record for record in corpus.records(split) if record.id in rows]
    if len(records) < 2:
        raise LookError(
            f"Split {split!r} has only {len(records)} images; choose another with --split."
        )
    return _Pool(encoder, records, vectors[[rows[record.id] for record in records]])


def _row(pool: _Pool, text: str, image: str, random: int) -> int:
    """The row of the chosen image."""
    if image:
        found = [row for row, record in enumerate(pool.records) if record.id == image]
        if not found:
            raise LookError(f"No image of the split has the id {image!r}.")
        return found[0]
    return pool.nearest(pool.encoder.encode_texts([text])[0])[0] if text else random


def _save(figure: Figure, path: Path) -> None:
    """Write the figure; letters that its font lacks are drawn as boxes, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(path, dpi=RESOLUTION)


def _similarities(pool: _Pool, rows: NDArray[np.int64], path: Path) -> None:
    captions = [pool.records[row].caption for row in rows]
    cosines = pool.encoder.encode_texts(captions) @ pool.vectors[rows].T
    images = [pool.image(int(row)) for row in rows]
    _save(draw_similarities(images, captions, cosines), path)


def _neighbours(pool: _Pool, row: int, text: str, path: Path) -> None:
    """Images nearest to the text, and others nearest to the image."""

    def hits(vector: NDArray[np.float32], but: int = -1) -> list[Neighbour]:
        found = [(hit, pool.records[hit].caption) for hit in pool.nearest(vector, but)]
        return [
            (pool.image(hit), caption, float(pool.vectors[hit] @ vector), caption == text)
            for hit, caption in found
        ]

    by_text = (text, hits(pool.encoder.encode_texts([text])[0]))
    by_image = (pool.image(row), hits(pool.vectors[row], row))
    _save(draw_neighbours([by_text, by_image]), path)


def _heat_maps(pool: _Pool, row: int, text: str, path: Path) -> None:
    encoder, image = pool.encoder, pool.image(row)
    methods: list[Method] = ["occlusion", "tiles"]
    if encoder.has_patches:
        methods.append("patches")
    resize = encoder.preprocessing.resize
    overlays = [
        (name, overlay(image, heat_map(encoder, image, text, method=name), resize=resize))
        for name in methods
    ]
    _save(draw_heat_maps(image, text, overlays), path)
