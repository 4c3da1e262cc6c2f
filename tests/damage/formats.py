"""What is damaged, how it is made, and what is asked of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.clip import Encoder
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents
from ingest.feed.ledger import Known, Ledger
from ingest.vectors.embed import embed_corpus, read_embeddings
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Document, Filter, Query, VectorField
from tests.ingest.conftest import PixelEncoder, Rows, png_bytes
from tests.power.encoder import make_encoder

__all__ = ["FORMATS", "THREADED"]

WORDS = ["chest", "lung", "knee", "ct", "left", "right", "brain", "lesion", "effusion", "nodule"]
FIELD = VectorField("v", 8, "f")
Asked = Callable[[], object]


def index(root: Path) -> Asked:
    """600 documents with codes, some of them removed, and a second segment."""
    rng = np.random.default_rng(0)

    def document(number: int) -> Document:
        vector = rng.normal(size=8).astype(np.float32)
        return Document(
            f"d{number:03}",
            " ".join(rng.choice(WORDS, 4)),
            {"v": vector / np.linalg.norm(vector)},
            concepts=(f"c{number % 7}",),
            modality=str(rng.choice(["CT", "MR"])),
        )

    engine = EmbeddedEngine.build(root, map(document, range(600)), [FIELD])
    engine.feed(map(document, range(590, 620)))
    engine.remove(["d003", "d605"])
    vectors = rng.normal(size=(3, 8)).astype(np.float32)

    def ask() -> object:
        opened = EmbeddedEngine.open(root)
        queries = [
            Query("chest lung", vectors[0], profile="hybrid", k=20),
            Query("knee", profile="lexical", k=30),
            Query("", vectors[1], profile="vector", k=20),
            Query("left", vectors[2], k=9, filters=(Filter("modality", ("CT",)),)),
        ]
        found = [opened.search(query) for query in queries]
        held = [opened.get(each) for each in opened.ids()]
        return (
            [(each.ids, each.scores.tobytes(), each.total) for each in found],
            [(d.id, d.caption, d.concepts, d.vectors["v"].tobytes()) for d in held if d],
            opened.profiles,
        )

    return ask


def corpus(root: Path) -> Asked:
    """A corpus with images and the vectors of one encoder."""
    encoder = PixelEncoder()
    records = [
        Record(f"r{n}", f"caption {n} of {WORDS[n % 10]}", image=png_bytes(n, side=8 + n % 5))
        for n in range(40)
    ]
    embed_corpus(write_corpus(Rows(records), root), encoder)
    fingerprint = encoder.manifest.fingerprint

    def ask() -> object:
        opened = Corpus.open(root)
        ids, vectors = read_embeddings(opened, fingerprint)
        fed = [(d.id, d.caption, [*d.vectors]) for d in documents(opened, (fingerprint,))]
        return (
            [(r.id, r.caption, r.image, r.split) for r in opened.records()],
            (ids, vectors.tobytes(), fed),
            (opened.table().to_pylist(), opened.duplicates().to_pylist()),
            opened.rejected().to_pylist(),
        )

    return ask


def ledger(root: Path) -> Asked:
    """A ledger of 300 documents; what it must not do is tell of more than was fed."""
    path = root / "l.sqlite"
    names = [f"d{n:03}" for n in range(300)]
    with Ledger(path, "t", "i") as opened:
        opened.put_all((name, f"hash {name}", {"f": f"vector {name}"}) for name in names)
        opened.refuse("d301", "too long")
    kept = root.with_name("work")

    def ask() -> object:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(root, kept)
        with Ledger(kept / "l.sqlite", "t", "i") as found:
            known = found.known([*names, "d301"])
            found.note(names[:100])
            found.not_noted()
            found.fingerprints()
            found.put("d302", "x", {})
        # A wrong hash costs a document's being fed again; a right one must not come of itself.
        return known.get("d301", Known("")).content != "hash d301"

    return ask


def encoder(root: Path) -> Asked:
    """A small encoder: the vectors of a text and of an image."""
    from tests.vespa_app.conftest import tiny_encoder  # noqa: PLC0415 - torch takes seconds

    tiny_encoder(0, 16).save(root)

    def ask() -> object:
        loaded = Encoder.load(root)
        text, image = loaded.encode_texts(["chest"]), loaded.encode_images([png_bytes(90)])
        return text.tobytes(), image.tobytes(), loaded.manifest

    return ask


def towers(root: Path) -> Asked:
    """An encoder as a search reads it, without torch."""
    root.rmdir()
    make_encoder(root, 0, 16)

    def ask() -> object:
        loaded = OnnxEncoder.load(root)
        text, image = loaded.encode_texts(["chest ct"]), loaded.encode_images([png_bytes(90)])
        return text.tobytes(), image.tobytes(), loaded.manifest

    return ask


FORMATS = {
    "index": index,
    "corpus": corpus,
    "ledger": ledger,
    "encoder": encoder,
    "towers": towers,
}
THREADED = {"encoder", "towers"}  # libraries with threads, which do not survive a fork
