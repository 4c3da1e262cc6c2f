"""Compute the vectors of a corpus, once for each encoder.

    CORPUS/embeddings/<fingerprint>/part-<hash>.parquet   id, image_sha256, vector float32 [D]
    CORPUS/embeddings/<fingerprint>/captions/             the same of captions, by their sha256
    CORPUS/embeddings/<fingerprint>/patches/              of images' patches, a row each, in order

A part is named after the records in it, so that the same work gives the same file: a job that
was killed, or run twice, or split over machines, ends with the same folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoders.base.parquet import write_parquet
from encoders.base.progress import Progress, expect, silent
from encoders.base.storage import sha256_bytes, whole_file
from encoders.inference.dual_encoder import DualEncoder
from encoders.model.manifest import Manifest
from ingest.corpus.corpus import EMBEDDINGS, Corpus
from ingest.corpus.records import CorpusError, Record, from_arrow
from ingest.corpus.tables import opened, read_table
from ingest.vectors.vectors import VectorError, check_vectors

__all__ = [
    "CAPTIONS",
    "PATCHES",
    "EmbedReport",
    "Partition",
    "embed_corpus",
    "embedding_parts",
    "part_vectors",
    "read_embeddings",
    "read_part",
    "without_vector",
]

CAPTIONS, PATCHES = "captions", "patches"
CHUNK = 1024  # vectors in one part file: what a kill can cost
NORMALIZED = b"normalized"  # of a part's metadata: whether its vectors are of length 1
REPORTED = 256  # images between two reports
SAMPLE = 64  # images that tell how long all will take
BYTES = 4.2  # of a number of a vector on disk
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Partition:
    """Share `index` of `count` (from 0); the shares are disjoint and together the corpus."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise CorpusError(
                f"There is no part {self.index}/{self.count}: parts are 0 to {self.count - 1}."
            )

    @classmethod
    def parse(cls, text: str) -> Partition:
        """From "0/4", the first of four; raises CorpusError."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise CorpusError(f"{text!r} is not a part: write INDEX/COUNT, such as 0/4.")
        return cls(int(index), int(count))


@dataclass(frozen=True)
class EmbedReport:
    """How many vectors were made, were there already, and cannot be (records without image)."""

    embedded: int
    present: int
    without_image: int


def embed_corpus(
    corpus: Corpus,
    encoder: DualEncoder,
    progress: Progress = silent,
    *,
    captions: DualEncoder | None = None,
    patches: bool = False,
    partition: Partition = Partition(),
    batch_size: int = 64,
) -> EmbedReport:
    """Embed the records that have an image and no vector of this encoder yet.

    captions: also embed the captions, by this encoder's text tower. patches: also the patches of
    the images, each image read and seen once. Any number of processes may run at once, each with
    its own `partition`, or by mistake with the same. Raises VectorError if the encoder gives a
    vector that is none, NoPartsError where it has no patches.
    """
    found = _embed_images(corpus, encoder, progress, partition, batch_size, patches=patches)
    if captions:
        _embed_captions(corpus, captions, progress)
    return found


def _embed_images(
    corpus: Corpus,
    encoder: DualEncoder,
    progress: Progress,
    partition: Partition,
    batch_size: int,
    *,
    patches: bool,
) -> EmbedReport:
    folder = _folder(corpus, encoder.manifest.fingerprint)
    done = {each: _stored_keys(each) for each in [folder, folder / PATCHES][: 1 + patches]}
    everywhere = set.intersection(*done.values())
    embedded = present = without = 0
    waiting: list[Record] = []

    total = corpus.manifest.images

    def write() -> None:
        nonlocal embedded
        images, found = _images(waiting), []
        for start, end in pairwise(_ends(len(images), first=not embedded)):
            started = time.perf_counter()
            found.append(_encoded(encoder, images[start:end], batch_size, patches=patches))
            if not embedded and start == 1:  # the one before has loaded the tower
                left = (total - len(everywhere)) / partition.count
                seconds = (time.perf_counter() - started) / (end - start) * left
                size = BYTES * sum(each[0].size for each in found[0]) * left
                expect(progress, f"embedding {left:,.0f} images", seconds, size)
            progress("embed", embedded + present + end, total)
        keys = [(record.id, record.image_sha256) for record in waiting]
        for store, vectors in zip(done, zip(*found, strict=True), strict=True):
            _write_part(store, keys, np.concatenate(vectors), encoder.manifest, done[store])
        embedded += len(waiting)
        waiting.clear()
        progress("embed", embedded + present, total)

    for record in _share(corpus, partition):
        if record.image is None:
            without += 1
        elif (record.id, record.image_sha256) in everywhere:
            present += 1
        else:
            waiting.append(record)
            if len(waiting) == CHUNK:
                write()
    if waiting:
        write()
    return EmbedReport(embedded, present, without)


def _encoded(
    encoder: DualEncoder, images: Sequence[bytes], batch_size: int, *, patches: bool
) -> Sequence[Floats]:
    """Vectors of images [N, D]; and with `patches` of those of each [N, P, D]."""
    if patches:
        return encoder.encode_parts(images, batch_size=batch_size)
    return [encoder.encode_images(images, batch_size=batch_size)]


def _embed_captions(corpus: Corpus, encoder: DualEncoder, progress: Progress) -> None:
    """Embed, by the text tower, the captions that have no vector of this encoder yet."""
    folder = _folder(corpus, encoder.manifest.fingerprint) / CAPTIONS
    done, made = _stored_keys(folder), 0
    rows = ((row["id"], row["caption"]) for row in corpus.rows(["id", "caption"]))
    keyed = ((i, sha256_bytes(text.encode()), text) for i, text in rows if text.strip())
    waiting = (each for each in keyed if each[:2] not in done)
    while chunk := list(islice(waiting, CHUNK)):
        vectors = encoder.encode_texts([text for *_, text in chunk])
        _write_part(folder, [(i, digest) for i, digest, _ in chunk], vectors, encoder.manifest)
        made += len(chunk)
        progress("embed captions", len(done) + made, len(corpus))


def _ends(count: int, *, first: bool) -> list[int]:
    """Where `count` images are cut, so that something can be told while they are encoded."""
    if count <= SAMPLE:
        return [0, count]
    start = [1, SAMPLE] if first else []
    return [0, *start, *range(REPORTED, count, REPORTED), count]


def _images(records: Sequence[Record]) -> list[bytes]:
    return [record.image for record in records if record.image is not None]


def read_embeddings(corpus: Corpus, fingerprint: str) -> tuple[list[str], Floats]:
    """Ids in corpus order and their vectors, float32 [N, D], of the records that have one.

    Vectors of an image that has been replaced since are left out. Raises CorpusError where
    this encoder has embedded nothing of the corpus.
    """
    folder = _folder(corpus, fingerprint)
    by_key: dict[tuple[str, str], Floats] = {}
    for part in _parts(folder):
        table = read_part(part, ["id", "image_sha256"])
        keys = zip(table["id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True)
        by_key.update(zip(keys, part_vectors(part), strict=True))
    if not by_key:
        raise CorpusError(
            f"{corpus.path} has no vectors of encoder {fingerprint[:8]}: embed it with "
            "`rocosearch index` first."
        )
    columns = corpus.table(["id", "hashes"])
    found = [
        (identifier, by_key[identifier, hashes["image_sha256"]])
        for identifier, hashes in zip(
            columns["id"].to_pylist(), columns["hashes"].to_pylist(), strict=True
        )
        if (identifier, hashes["image_sha256"]) in by_key
    ]
    dimension = next(iter(by_key.values())).shape[0]
    vectors = np.array([vector for _, vector in found], np.float32).reshape(-1, dimension)
    return [identifier for identifier, _ in found], vectors


def without_vector(corpus: Corpus, fingerprint: str) -> int:
    """How many images have no vector of this encoder: a part is missing, or they are newer."""
    done = _stored_keys(_folder(corpus, fingerprint))
    rows = corpus.rows(["id", "hashes"])
    keys = ((row["id"], row["hashes"]["image_sha256"]) for row in rows)
    return sum(bool(sha256) and (name, sha256) not in done for name, sha256 in keys)


def embedding_parts(corpus: Corpus, fingerprint: str, of: str = "") -> list[Path]:
    """The part files of one encoder's vectors of images, or `of` CAPTIONS or PATCHES."""
    return _parts(_folder(corpus, fingerprint) / of)


def part_vectors(part: Path) -> Floats:
    """The vectors of one part file, float32 [rows, D].

    Raises CorpusError if it is damaged, or a vector is none.
    """
    table = read_part(part, ["id", "vector"])
    column = table["vector"].combine_chunks()
    flat = column.flatten()
    if flat.null_count:
        raise CorpusError(f"{part}: a vector lacks a number. Delete it and embed again.")
    # By DLPack, since Arrow's to_numpy imports pandas.
    vectors = np.asarray(np.from_dlpack(flat), np.float32).reshape(len(column), -1)
    normalized = (table.schema.metadata or {}).get(NORMALIZED) == b"1"
    try:
        check_vectors(table["id"].to_pylist(), vectors, vectors.shape[1], normalized)
    except VectorError as error:
        raise CorpusError(f"{part}: {error} Delete it and embed again.") from None
    return vectors


def _folder(corpus: Corpus, fingerprint: str) -> Path:
    return corpus.path / EMBEDDINGS / fingerprint


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _share(corpus: Corpus, partition: Partition) -> Iterator[Record]:
    """The records of every `count`-th row group: other groups are not even read."""
    number = 0
    for part in corpus.parts:
        with opened(part) as file:
            for group in range(file.num_row_groups):
                if number % partition.count == partition.index:
                    yield from map(from_arrow, file.read_row_group(group).to_pylist())
                number += 1


def _stored_keys(folder: Path) -> set[tuple[str, str]]:
    keys: set[tuple[str, str]] = set()
    for part in _parts(folder):
        table = read_part(part, ["id", "image_sha256"])
        keys.update(zip(table["id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True))
    return keys


def _write_part(
    folder: Path,
    keys: Sequence[tuple[str, str]],
    vectors: Floats,
    manifest: Manifest,
    done: Set[tuple[str, str]] = frozenset(),
) -> None:
    """Write vectors [N, D], or [N, P, D], of the keys that are not `done`, a row each."""
    vectors = vectors.reshape(-1, vectors.shape[-1])
    keys = [key for key in keys for _ in range(len(vectors) // len(keys))]
    check_vectors([key[0] for key in keys], vectors, manifest.dimension, manifest.normalized)
    new = [row for row, key in enumerate(keys) if key not in done]
    if not new:
        return
    keys, vectors = [keys[row] for row in new], vectors[new]
    ids, hashes = ([key[place] for key in keys] for place in (0, 1))
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.ravel(), pa.float32()), manifest.dimension
    )
    table = pa.table({"id": ids, "image_sha256": hashes, "vector": column})
    table = table.replace_schema_metadata({NORMALIZED: str(int(manifest.normalized))})
    name = sha256_bytes("\n".join(_flat(keys)).encode())[:16]
    with whole_file(folder / f"part-{name}.parquet") as path:
        # Random mantissas do not compress.
        write_parquet(table, path, compression={"id": "zstd", "image_sha256": "zstd"})


def _flat(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for pair in pairs:
        yield from pair


def read_part(part: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of one part file: id, image_sha256, vector. Raises CorpusError."""
    return read_table(part, columns, advice="delete it and embed again, nothing else is lost.")
