"""Mark duplicate records; nothing is deleted.

    CORPUS/duplicates.parquet   id, kind, like: this record repeats the earlier record `like`

kind: "image" (the same bytes), "near-image" (perceptual hashes at most 3 of 64 bits apart) or
"caption" (the same but for case, accents' encoding, punctuation and spaces).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.corpus.tables import read_table

__all__ = ["DUPLICATES", "DUPLICATES_SCHEMA", "find_duplicates", "normal_caption"]

DUPLICATES = "duplicates.parquet"
DUPLICATES_SCHEMA = pa.schema([("id", pa.string()), ("kind", pa.string()), ("like", pa.string())])
COLUMNS = ["id", "caption", "hashes"]

NEAR_BITS = 3
# Two hashes that differ in at most 3 bits agree in at least one of 4 bands of 16 bits.
BANDS = NEAR_BITS + 1
BAND_BITS = 64 // BANDS
BLOCK = 1024  # rows of a comparison held in memory at once

_NOT_WORD = re.compile(r"[\W_]+")


def normal_caption(caption: str) -> str:
    """What two captions must share to count as the same.

    >>> normal_caption("Chest X-ray,  PA view.")
    'chest x ray pa view'
    """
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", caption).casefold()).strip()


def find_duplicates(parts: Iterable[Path]) -> pa.Table:
    """All duplicates in a corpus's Parquet files, as a table of `DUPLICATES_SCHEMA`."""
    table = pa.concat_tables([read_table(part, COLUMNS) for part in parts])
    ids = table["id"].to_pylist()
    hashes = table["hashes"].to_pylist()
    images = [row["image_sha256"] for row in hashes]
    captions = [normal_caption(caption) for caption in table["caption"].to_pylist()]
    exact = dict(_repeats(images))
    near = {
        row: like for row, like in _near([r["image_dhash"] for r in hashes]) if row not in exact
    }
    kinds = {"image": exact, "near-image": near, "caption": dict(_repeats(captions))}
    rows = [
        {"id": ids[row], "kind": kind, "like": ids[like]}
        for kind, found in kinds.items()
        for row, like in sorted(found.items())
    ]
    return pa.Table.from_pylist(rows, schema=DUPLICATES_SCHEMA)


def _repeats(keys: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    first: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        if key and first.setdefault(key, row) != row:
            yield row, first[key]


def _near(hashes: list[str]) -> Iterator[tuple[int, int]]:
    """Row and the first row whose hash is near, for each row that is not the first itself."""
    rows = np.array([row for row, text in enumerate(hashes) if text], np.int64)
    bits = np.array([int(text, 16) for text in hashes if text], np.uint64)
    first = np.arange(len(rows))
    for band in range(BANDS):
        values = (bits >> np.uint64(band * BAND_BITS)) & np.uint64(2**BAND_BITS - 1)
        order = np.argsort(values, kind="stable")
        starts = np.flatnonzero(np.diff(values[order])) + 1
        for bucket in np.split(order, starts):
            if len(bucket) > 1:
                first[bucket] = np.minimum(first[bucket], _first_near(bits[bucket], bucket))
    for row, like in zip(rows, rows[first] if len(rows) else [], strict=True):
        if row != like:
            yield int(row), int(like)


def _first_near(bits: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each hash, the smallest position of a near one (itself included)."""
    found = positions.copy()
    for start in range(0, len(bits), BLOCK):
        block = slice(start, start + BLOCK)
        near = np.bitwise_count(bits[block, None] ^ bits[None, :]) <= NEAR_BITS
        found[block] = positions[near.argmax(axis=1)]  # positions ascend: the first is smallest
    return found
