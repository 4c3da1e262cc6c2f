"""Predicted concepts and pseudo-captions of a corpus, stored apart from the source's data.

CORPUS/predictions.parquet   id, image_sha256, concepts, probabilities, pseudo_caption

The metadata names the encoder and the settings. Documents have the predictions in separate fields;
they are never used as judgements. A row whose image has changed is not read. Writing a corpus again
removes its predictions, because its captions may have changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from encoders.base.parquet import write_parquet
from encoders.base.storage import whole_file
from ingest.corpus.tables import read_table

__all__ = ["PREDICTIONS", "Prediction", "Predictions", "write_predictions"]

PREDICTIONS = "predictions.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image_sha256", pa.string()),
        ("concepts", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float32())),
        ("pseudo_caption", pa.string()),
    ]
)


class Prediction(NamedTuple):
    """Concepts, likeliest first, with their probabilities; words of captions of near images."""

    concepts: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    pseudo_caption: str = ""


class Predictions:
    """Those of a corpus, by id and image; none where nothing was predicted."""

    def __init__(self, corpus: Path) -> None:
        path = corpus / PREDICTIONS
        self._table = read_table(path, advice="label the corpus again.") if path.exists() else None
        self._places: dict[tuple[str, str], int] = {}
        if self._table is not None:
            keys = zip(
                self._table["id"].to_pylist(), self._table["image_sha256"].to_pylist(), strict=True
            )
            self._places = {key: row for row, key in enumerate(keys)}

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder that predicted; "" where nothing was predicted."""
        told = (self._table.schema.metadata or {}) if self._table is not None else {}
        return str(json.loads(told.get(b"rocosearch", b"{}")).get("encoder", ""))

    def of(self, identifier: str, image_sha256: str) -> Prediction:
        """What is predicted of an image; nothing where it was not looked at."""
        place = self._places.get((identifier, image_sha256))
        if self._table is None or place is None:
            return Prediction()
        columns = ("concepts", "probabilities", "pseudo_caption")
        concepts, probabilities, caption = (self._table[name][place].as_py() for name in columns)
        return Prediction(tuple(concepts), tuple(probabilities), caption)


def write_predictions(
    corpus: Path,
    keys: Sequence[tuple[str, str]],
    predictions: Sequence[Prediction],
    made: Mapping[str, object],
) -> None:
    """Write what was predicted of the images with these ids and hashes; the file is whole or none.

    made: by which encoder, and how.
    """
    ids, hashes = zip(*keys, strict=True) if keys else ((), ())
    columns = list(zip(*predictions, strict=True)) or [(), (), ()]
    table = pa.table([ids, hashes, *columns], schema=SCHEMA)
    table = table.replace_schema_metadata({"rocosearch": json.dumps(dict(made))})
    with whole_file(corpus / PREDICTIONS) as path:
        write_parquet(table, path)
