"""Folders of recorded answers: documents, vectors by recipe, schema, records.

Three layouts, each described in the README that lies beside the records: `roco` (captions from
the data set, four vector fields), `study` (2,000 of them, fields of one's own) and `made-up`
(everything in the folder). A vector is drawn
from a generator that is seeded by its name, so none is stored.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError
from ranking.engine.engine import EmbeddedEngine
from ranking.text.tokens import tokenize
from ranking.types import Document
from tests.vespa_records.schema_file import Schema, read_schema

__all__ = ["Collection", "RecordsError", "find_collections", "read_records"]

Record = dict[str, Any]
Vector = NDArray[np.float32]

_ROCO_FILES = ("lexical", "vector", "hybrid")
_STUDY_FILES = (
    "several",
    "fields2",
    "late_interaction",
    "onnx",
    "own_fields",
    "terms",
    "cut",
)
_DIMENSION = 512
_MADE_UP_DIMENSION = 64
_CAPTIONS = Path("data/roco/data/test/radiology")


class RecordsError(UserError):
    """The folder holds no records that can be read."""


@dataclass(frozen=True)
class Collection:
    """One recorded server: its schema, its documents, and files of records.

    vector_of: what stands in a request for a query vector -> float32 [dimension].
    fed_in_order: whether the server stored the documents in the order they have here, as it does
    for one client that waits for each. language: of requests that name none, "" where it was
    detected.
    """

    name: str
    schema: Schema
    documents: tuple[Document, ...]
    files: Mapping[str, Path]
    vector_of: Callable[[Any], Vector]
    fed_in_order: bool = False
    language: str = ""

    @cached_property
    def engine(self) -> EmbeddedEngine:
        """The documents in an embedded engine, with the schema's profiles."""
        return EmbeddedEngine.in_memory(
            self.documents, self.schema.vector_fields, self.schema.profiles
        )

    @cached_property
    def holders(self) -> dict[str, frozenset[str]]:
        """Token -> ids of the documents whose caption has it."""
        found: dict[str, set[str]] = {}
        for document in self.documents:
            for word in tokenize(document.caption or ""):
                found.setdefault(word, set()).add(document.id)
        return {word: frozenset(ids) for word, ids in found.items()}


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a .jsonl.gz file, whatever JSON each line holds."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for line in filter(str.strip, stream):
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise RecordsError(f"{path} cannot be read as records: {error}") from None


def find_collections(
    folder: Path, records: Path | None = None, captions: Path | None = None
) -> list[Collection]:
    """Return the collections whose documents lie in `folder` or in its `made-up`.

    records: another folder of the same layout whose record files are taken instead.
    captions: the ROCO test split's folder; beside `folder` by default.
    Raises RecordsError where there is nothing to compare.
    """
    taken = records or folder
    found = []
    if (folder / "app" / "schemas" / "study.sd").exists():
        found.append(_study(folder, taken, captions or folder.parent / _CAPTIONS))
    elif (folder / "documents.jsonl.gz").exists():
        found.append(_roco(folder, taken, captions or folder.parent / _CAPTIONS))
    inner = "made-up" if (folder / "made-up").is_dir() else ""
    beside = taken / inner if (taken / inner).is_dir() else taken
    for schema, documents, file in (
        ("synth", "documents.jsonl", "queries"),
        ("gaps", "gaps-documents.jsonl", "gaps"),
    ):
        if (folder / inner / documents).exists():
            found.append(_made_up(folder / inner, beside, schema, documents, file))
    found = [collection for collection in found if collection.files]
    if not found:
        raise RecordsError(f"{taken} holds no records of a layout that is known.")
    return found


def _files(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    paths = {name: folder / f"{name}.jsonl.gz" for name in names}
    return {name: path for name, path in paths.items() if path.exists()}


def _generator(name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _unit(values: NDArray[np.float64]) -> Vector:
    return (values / np.linalg.norm(values)).astype(np.float32)


# ROCO: captions of the data set, four vector fields ------------------------------------------


def _roco(folder: Path, records: Path, captions: Path) -> Collection:
    text = _table(captions / "captions.txt")
    concepts = _table(captions / "cuis.txt")
    recipe = _RocoVectors(folder, records)
    documents = []
    for line in read_records(folder / "documents.jsonl.gz"):
        identifier = line["id"]
        documents.append(
            Document(
                id=identifier,
                caption=text[identifier].strip(),
                vectors=recipe.of_document(identifier),
                concepts=tuple(c for c in concepts.get(identifier, "").split("\t") if c),
                group_id=line["article_id"],
                modality=line["modality"],
            )
        )
    schema = read_schema(folder / "app" / "image.sd")
    return Collection(
        "roco", schema, tuple(documents), _files(records, _ROCO_FILES), recipe.of_query
    )


def _table(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RecordsError(f"The records need the captions they were made of: {error}") from None
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


class _RocoVectors:
    def __init__(self, folder: Path, records: Path) -> None:
        self.axes = np.random.default_rng(7).standard_normal((24, _DIMENSION))
        self.stored: dict[str, Vector] = {}
        for path in (folder / "query_vectors.npz", records / "query_vectors.npz"):
            if path.exists():
                with np.load(path, allow_pickle=False) as arrays:
                    self.stored |= {name: arrays[name] for name in arrays.files}

    def of_document(self, identifier: str) -> dict[str, Vector]:
        low = self.low(identifier)
        length = np.float32(0.5 + _generator(f"len:{identifier}").random())
        return {
            "embedding": self.random(identifier),
            "embedding_low": low,
            "embedding_ang": low,
            "embedding_dot": low * length,
        }

    def random(self, name: str) -> Vector:
        return _unit(_generator(name).standard_normal(_DIMENSION))

    def low(self, name: str) -> Vector:
        drawn = _generator(f"low:{name}")
        z = drawn.standard_normal(24)
        noise = drawn.standard_normal(_DIMENSION)
        return _unit(z @ self.axes / np.sqrt(24) + 0.25 * noise)

    def of_query(self, wanted: Any) -> Vector:
        name = wanted["vector"]
        if name in self.stored:
            return self.stored[name].astype(np.float32)
        kind, _, rest = name.partition(":")
        if kind == "near":
            noise = _generator(name).standard_normal(_DIMENSION)
            return _unit(self.low(rest).astype(np.float64) + 0.03 * noise)
        if kind in ("random", "doc"):
            return self.random(f"query:{rest}" if kind == "random" else rest)
        if kind in ("low", "doclow"):
            return self.low(f"query:{rest}" if kind == "low" else rest)
        raise RecordsError(f"There is no recipe for the query vector {name}.")


# ROCO again: two vector fields of lower dimension, fields of one's own ------------------------


def _study(folder: Path, records: Path, captions: Path) -> Collection:
    text = _table(captions / "captions.txt")
    axes = {n: np.random.default_rng(n).standard_normal((24, n)) for n in (64, 48)}

    def vector(name: str, size: int, noise: float, z: NDArray[np.float64]) -> Vector:
        drawn = _generator(name).standard_normal(size)
        return _unit(z @ axes[size] / np.sqrt(24) + noise * drawn)

    documents = []
    for line in read_records(folder / "documents.jsonl.gz"):
        identifier = line["id"]
        z = _generator(f"study:{identifier}").standard_normal(24)
        vectors = {"image": vector(f"image:{identifier}", 64, 0.4, z)}
        if line["num"] % 9 != 4:
            vectors["text_vector"] = vector(f"text:{identifier}", 48, 0.6, z)
        frames, scaled = {}, {}
        for label in (str(3 * n + 1) for n in range(line["num"] % 6)):
            frames[label] = vector(f"frame:{identifier}:{label}", 64, 0.8, z)
            length = np.float32(0.5 + _generator(f"len:{identifier}:{label}").random())
            scaled[label] = frames[label] * length
        drawn = _generator(f"patches:{identifier}")
        patches = {
            str(n): _unit(drawn.standard_normal(16) + 0.7 * np.resize(z, 16)) for n in range(4)
        }
        eighths = {label: np.rint(127 * patch) for label, patch in patches.items()}
        several = dict.fromkeys(("frames", "frames_half", "frames_plain"), frames)
        labelled = {**several, "frames_dot": scaled, "patches": patches, "patches_i8": eighths}
        documents.append(
            Document(
                id=identifier,
                caption=text[identifier].strip(),
                vectors=vectors,
                modality=line["modality"],
                labelled={name: each for name, each in labelled.items() if each},
            )
        )
    with np.load(folder / "query_vectors.npz", allow_pickle=False) as arrays:
        stored = {name: arrays[name].astype(np.float32) for name in arrays.files}
    return Collection(
        "study",
        read_schema(folder / "app" / "schemas" / "study.sd"),
        tuple(documents),
        _files(records, _STUDY_FILES),
        lambda wanted: stored[wanted["vector"]],
        language="en",  # fed in order, yet totals of exact searches differ by up to two
    )


# Made-up captions ----------------------------------------------------------------------------


def _made_up(folder: Path, records: Path, schema: str, documents: str, file: str) -> Collection:
    lines = (folder / documents).read_text(encoding="utf-8").rstrip("\n").split("\n")
    read = read_schema(folder / f"{schema}.sd")
    cells = {field.name: field.cell_type for field in read.vector_fields}
    made = tuple(_made_up_document(json.loads(line), cells) for line in lines)
    return Collection(
        schema, read, made, _files(records, (file,)), _made_up_query, fed_in_order=True
    )


def _made_up_document(line: Record, cells: Mapping[str, str]) -> Document:
    vectors = {}
    if line.get("vector", True):
        vector = _blend(line.get("concepts", []), line["id"])
        scaled = np.rint(127 * vector)
        vectors = {name: scaled if cell == "int8" else vector for name, cell in cells.items()}
    return Document(
        id=line["id"],
        caption=line.get("caption"),
        vectors=vectors,
        concepts=tuple(line.get("concepts", ())),
        group_id=line.get("article_id", ""),
        modality=line.get("modality", ""),
    )


def _blend(concepts: list[str], name: str) -> Vector:
    axes = [_generator(f"axis:{c}").standard_normal(_MADE_UP_DIMENSION) for c in concepts]
    noise = 0.8 * _generator(name).standard_normal(_MADE_UP_DIMENSION)
    return _unit(np.sum([*axes, noise], axis=0))


def _made_up_query(wanted: Any) -> Vector:
    vector = _blend(wanted["concepts"], f"query:{wanted['name']}")
    scale = wanted.get("scale", 1)
    scaled = vector * np.float32(scale)
    return np.rint(scaled) if scale == 127 else scaled
