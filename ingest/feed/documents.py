"""Records and vectors -> the documents that engines take, in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.corpus.corpus import Corpus
from ingest.vectors.embed import embedding_parts, part_vectors, read_part
from ranking.names import encoder_names
from ranking.types import Document

__all__ = ["VIEWS", "View", "documents", "second_half"]

View = Literal["full", "split-caption"]
VIEWS: tuple[View, ...] = ("full", "split-caption")
COLUMNS = (
    "id",
    "caption",
    "concepts",
    "concept_names",
    "group_id",
    "modality",
    "split",
    "licence",
    "source",
    "hashes",
    "extra",
)
PARTS_IN_MEMORY = 16


def documents(
    corpus: Corpus, fingerprint: str | Sequence[str] | None = None, *, view: View = "full"
) -> Iterator[Document]:
    """Every record as a document, in corpus order, with a vector of each encoder that made one.

    fingerprint: of the encoder or encoders; None for documents without vectors.
    view: "full", or "split-caption", whose captions are their second halves (for the protocol
    of that name, whose queries are the first halves).
    Memory: the ids with the places of their vectors, and a few part files.
    """
    wanted = [fingerprint] if isinstance(fingerprint, str) else fingerprint or ()
    stores = {
        encoder_names(each).embedding: _Vectors(embedding_parts(corpus, each)) for each in wanted
    }
    for row in corpus.rows(COLUMNS):
        key = row["id"], row["hashes"]["image_sha256"]
        found = {name: store.get(key) for name, store in stores.items()}
        vectors = {name: vector for name, vector in found.items() if vector is not None}
        yield _document(row, vectors, view)


def second_half(caption: str) -> str:
    """The caption from its middle word on: words floor(n/2) to n, split at white space."""
    words = caption.split()
    return " ".join(words[len(words) // 2 :])


def _document(
    row: Mapping[str, Any], vectors: dict[str, NDArray[np.float32]], view: View
) -> Document:
    caption = row["caption"]
    url = json.loads(row["extra"]).get("image_url")
    return Document(
        id=row["id"],
        caption=caption if view == "full" else second_half(caption),
        vectors=vectors,
        concepts=tuple(row["concepts"]),
        concept_names=tuple(row["concept_names"]),
        group_id=row["group_id"],
        modality=row["modality"],
        source=row["source"],
        licence=row["licence"],
        split=row["split"],
        image_url=url if isinstance(url, str) else "",
    )


@dataclass
class _Vectors:
    """Looks vectors up; parts stay in memory while neighbours are asked for."""

    parts: list[Path]
    _places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _loaded: OrderedDict[int, NDArray[np.float32]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        for number, part in enumerate(self.parts):
            table = read_part(part, ["id", "image_sha256"])
            keys = zip(table["id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True)
            self._places.update((_digest(key), (number, row)) for row, key in enumerate(keys))

    def get(self, key: tuple[str, str]) -> NDArray[np.float32] | None:
        """float32 [D] of an id and its image's hash, or None where there is none."""
        place = self._places.get(_digest(key))
        if place is None:
            return None
        number, row = place
        if number not in self._loaded:
            if len(self._loaded) == PARTS_IN_MEMORY:
                self._loaded.popitem(last=False)
            self._loaded[number] = part_vectors(self.parts[number])
        self._loaded.move_to_end(number)
        vector: NDArray[np.float32] = self._loaded[number][row]
        return vector


def _digest(key: tuple[str, str]) -> bytes:
    """A short stand-in: ids and hashes themselves would take twice the memory."""
    return hashlib.blake2b("\n".join(key).encode(), digest_size=12).digest()
