"""Build documents from records and vectors, in bounded memory.

A document is an image, or a study: the images of one case, each a vector under its record's id.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.base.storage import sha256_bytes
from ingest.corpus.corpus import Corpus
from ingest.corpus.predictions import Prediction, Predictions
from ingest.corpus.records import own_value
from ingest.vectors.embed import CAPTIONS, PATCHES, embedding_parts, part_vectors, read_part
from ranking.names import CAPTION_VECTORS, encoder_names, vector_field_names
from ranking.types import Document

__all__ = [
    "PATCHES_OF_STUDIES",
    "VIEWS",
    "View",
    "documents",
    "joined_captions",
    "mean_direction",
    "second_half",
    "shared",
    "study_key",
]

View = Literal["full", "split-caption"]
VIEWS: tuple[View, ...] = ("full", "split-caption")
COLUMNS = (
    "id",
    "caption",
    "concepts",
    "concept_names",
    "group_id",
    "group_kind",
    "modality",
    "split",
    "licence",
    "source",
    "hashes",
    "extra",
)
PARTS_IN_MEMORY = 16
PATCHES_OF_STUDIES = (
    "A profile reads patches, which are of single images: leave out --studies, or take a profile "
    "without max_sim and rerank."
)


def documents(
    corpus: Corpus,
    fingerprint: str | Sequence[str] | None = None,
    *,
    view: View = "full",
    studies: bool = False,
    captions: bool = False,
    caption_encoder: str = "",
    patches: bool = False,
) -> Iterator[Document]:
    """Every record as a document, in corpus order, with a vector of each encoder that made one.

    fingerprint: of the encoder or encoders; None for documents without vectors.
    view: "full", or "split-caption", whose captions are their second halves (for the protocol
    of that name, whose queries are the first halves). studies: the images of a case, or the frames
    of a file, are one document, in the place of its last. captions: with their captions' vectors
    too, which the view split-caption has not: they would tell of the first halves.
    caption_encoder: fingerprint of the encoder that made those; "": each made its own.
    patches: with vectors of the images' patches, labelled 0, 1, ...; not of studies.
    Each carries what was predicted of its image. Memory: the ids with the places of their vectors,
    a few part files, and all predictions.
    """
    wanted = [fingerprint] if isinstance(fingerprint, str) else fingerprint or ()
    stores = {
        encoder_names(each).embedding: _Vectors(embedding_parts(corpus, each)) for each in wanted
    }
    if captions and view == "full":
        for each in [caption_encoder] if caption_encoder else wanted:
            parts = embedding_parts(corpus, each, CAPTIONS)
            stores[encoder_names(each).field(CAPTION_VECTORS)] = _Vectors(parts)
    for each in wanted if patches else ():
        parts = embedding_parts(corpus, each, PATCHES)
        stores[encoder_names(each).field("patches")] = _Vectors(parts)
    images = _images(corpus, stores, view)
    yield from _studies(corpus, images) if studies else (image for _, image in images)


def _images(
    corpus: Corpus, stores: Mapping[str, _Vectors], view: View
) -> Iterator[tuple[str, Document]]:
    """Every record as a document, with the key of its study."""
    predictions = Predictions(corpus.path)
    own = [each.name for each in corpus.manifest.fields]
    for row in corpus.rows([*COLUMNS, *own]):
        image = row["id"], row["hashes"]["image_sha256"]
        caption = row["id"], sha256_bytes(row["caption"].encode())
        found = {
            name: store.get(caption if name.startswith("caption_") else image)
            for name, store in stores.items()
        }
        rows = {name: several for name, several in found.items() if several is not None}
        vectors = {n: several[0] for n, several in rows.items() if not n.startswith(PATCHES)}
        labelled = {
            name: {str(label): vector for label, vector in enumerate(several)}
            for name, several in rows.items()
            if name not in vectors
        }
        made = _document(row, vectors, view, predictions.of(*image), own)
        yield study_key(row), replace(made, labelled=labelled)


def study_key(row: Mapping[str, Any]) -> str:
    """The id of the study that a record belongs to: its case, or itself."""
    return str(row["group_id"] if row["group_kind"] == "case" and row["group_id"] else row["id"])


def _studies(corpus: Corpus, images: Iterable[tuple[str, Document]]) -> Iterator[Document]:
    """Documents of images, by the study of each, joined as soon as a study's last has come."""
    left = Counter(map(study_key, corpus.rows(["id", "group_id", "group_kind"])))
    open_studies: dict[str, list[Document]] = {}
    for key, image in images:
        open_studies.setdefault(key, []).append(image)
        if len(open_studies[key]) == left[key]:
            yield _study(key, open_studies.pop(key))


def _study(key: str, images: Sequence[Document]) -> Document:
    """One document of several images: what they share, their captions, all of their vectors."""
    labelled: dict[str, dict[str, NDArray[np.float32]]] = {}
    for image in images:
        for name, vector in image.vectors.items():
            names = vector_field_names(name)
            if names is not None and name == names.embedding:
                labelled.setdefault(names.field("frames"), {})[image.id] = vector
    first = images[0]
    return replace(
        first,
        id=key,
        caption=joined_captions(image.caption for image in images),
        vectors={
            name: mean_direction([image.vectors[name] for image in images if name in image.vectors])
            for name in dict.fromkeys(name for image in images for name in image.vectors)
        },
        labelled=labelled,
        concepts=tuple(dict.fromkeys(c for image in images for c in image.concepts)),
        concept_names=tuple(dict.fromkeys(c for image in images for c in image.concept_names)),
        predicted_concepts=tuple(dict.fromkeys(c for i in images for c in i.predicted_concepts)),
        pseudo_caption="\n".join(dict.fromkeys(i.pseudo_caption for i in images)).strip(),
        modality=shared(image.modality for image in images),
        source=shared(image.source for image in images),
        licence=shared(image.licence for image in images),
        split=shared(image.split for image in images),
        attributes={
            name: value
            for name, value in first.attributes.items()
            if all(image.attributes.get(name) == value for image in images)
        },
    )


def joined_captions(captions: Iterable[str | None]) -> str:
    """A study's caption: the different ones of its images, one a line."""
    return "\n".join(dict.fromkeys(filter(None, captions)))


def shared(values: Iterable[str]) -> str:
    """The value that all have, else ""."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def mean_direction(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of float32 [D] vectors, of their mean length: a unit vector where all are."""
    lengths = [float(np.linalg.norm(vector)) for vector in vectors]
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    scale = float(np.mean(lengths)) / (float(np.linalg.norm(mean)) or 1.0)
    return np.asarray(scale * mean, np.float32)


def second_half(caption: str) -> str:
    """The caption from its middle word on: words floor(n/2) to n, split at white space."""
    words = caption.split()
    return " ".join(words[len(words) // 2 :])


def _document(
    row: Mapping[str, Any],
    vectors: dict[str, NDArray[np.float32]],
    view: View,
    predicted: Prediction,
    own: Sequence[str],
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
        predicted_concepts=predicted.concepts,
        pseudo_caption=predicted.pseudo_caption,
        attributes={name: v for name in own if (v := own_value(row[name])) is not None},
    )


@dataclass
class _Vectors:
    """Looks vectors up; parts stay in memory while neighbours are asked for."""

    parts: list[Path]
    _places: dict[bytes, tuple[int, slice]] = field(default_factory=dict)
    _loaded: OrderedDict[int, NDArray[np.float32]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        for number, part in enumerate(self.parts):
            table = read_part(part, ["id", "image_sha256"])
            keys = zip(table["id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True)
            row = 0
            for key, several in groupby(keys):
                end = row + sum(1 for _ in several)
                self._places[_digest(key)] = number, slice(row, end)
                row = end

    def get(self, key: tuple[str, str]) -> NDArray[np.float32] | None:
        """float32 [rows, D] of an id and its image's hash, or None if there are none."""
        place = self._places.get(_digest(key))
        if place is None:
            return None
        number, rows = place
        if number not in self._loaded:
            if len(self._loaded) == PARTS_IN_MEMORY:
                self._loaded.popitem(last=False)
            self._loaded[number] = part_vectors(self.parts[number])
        self._loaded.move_to_end(number)
        vectors: NDArray[np.float32] = self._loaded[number][rows]
        return vectors


def _digest(key: tuple[str, str]) -> bytes:
    """A short stand-in: ids and hashes themselves would take twice the memory."""
    return hashlib.blake2b("\n".join(key).encode(), digest_size=12).digest()
