"""Studies: whether a text finds the cine and its frame, and what labelled vectors cost.

    python -m benchmarks.studies ENCODER [--cines 200]
    python -m benchmarks.studies --cost [--documents 20000]

Cines are drawn (ingest/sources/phantoms.py); ENCODER was trained on single phantoms. Each query
describes a cine in words drawn anew, and asks by its vector alone: `frames` takes the best frame,
`vector` the mean direction. A frame is right where the finding is seen in it. The cost is that of
documents of eight vectors beside as many single ones, by the native route.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from encoders.inference.onnx_encoder import OnnxEncoder
from ingest.corpus.corpus import Corpus
from ingest.sources.phantom_captions import describe
from ingest.sources.phantoms import ATTRIBUTES
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import SHIPPED, STUDY_PROFILES
from ranking.types import Document, Query, VectorField
from rocosearch.pipeline import build_corpus, build_index

CUT = 10
SEED = 5
LABELS, DIMENSION, QUERIES = 8, 128, 200


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("encoder", type=Path, nargs="?")
    parser.add_argument("--cines", type=int, default=200)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--documents", type=int, default=20_000)
    options = parser.parse_args()
    if options.cost:
        cost(options.documents)
    elif options.encoder:
        with tempfile.TemporaryDirectory() as folder:
            found(options.encoder, options.cines, Path(folder))


def found(folder: Path, count: int, root: Path) -> None:
    """Text to study and text to frame, over all drawn cines of held-out combinations."""
    encoder = OnnxEncoder.load(folder)
    build_corpus(f"cines:{count}", root / "corpus")
    engine = build_index(root / "corpus", root / "index", encoder=folder, studies=True)
    cines = {r.group_id: r for r in Corpus.open(root / "corpus").records() if r.split != "train"}
    rng = np.random.default_rng(SEED)
    texts = [
        describe({name: str(r.extra[name]) for name in ATTRIBUTES}, rng) for r in cines.values()
    ]
    vectors = encoder.encode_texts(texts)
    for profile in ("frames", "vector"):
        ranks, right, chance = [], [], []
        for (cine, record), vector in zip(cines.items(), vectors, strict=True):
            everything = engine.count()
            result = engine.search(
                Query(vector=vector, profile=profile, k=everything, target_hits=everything)
            )
            rank = 1 + result.ids.index(cine)
            ranks.append(1 / rank if rank <= CUT else 0.0)
            first, last = int(record.extra["seen_from"]), int(record.extra["seen_to"])
            chance.append((last - first + 1) / int(record.extra["frames"]))
            if result.closest:
                label = result.hits[rank - 1].picture
                right.append(first <= int(label.rpartition("#")[2]) <= last)
        frame = (
            f"; right frame {np.mean(right):.3f}, by chance {np.mean(chance):.3f}" if right else ""
        )
        print(
            f"{profile}: RR@{CUT} {np.mean(ranks):.3f} of {len(ranks)} among {count} cines{frame}"
        )


def cost(documents: int) -> None:
    """Milliseconds of a query, half of the queries each, in turns."""
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((documents, 1, DIMENSION))
    drawn = np.float32(centres + rng.standard_normal((documents, LABELS, DIMENSION)))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    several = VectorField("frames", DIMENSION, labels="frame")
    profiles = SHIPPED.replaced(STUDY_PROFILES)
    labelled = EmbeddedEngine.in_memory(
        (
            Document(f"d{n}", labelled={"frames": {str(i): v for i, v in enumerate(each)}})
            for n, each in enumerate(drawn)
        ),
        [several],
        profiles,
    )
    single = EmbeddedEngine.in_memory(
        (
            Document(f"d{n}-{i}", vectors={"embedding": vector})
            for n, each in enumerate(drawn)
            for i, vector in enumerate(each)
        ),
        [VectorField("embedding", DIMENSION)],
        profiles,
    )
    asked = np.float32(rng.standard_normal((QUERIES, DIMENSION)))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    spent: dict[str, list[float]] = {"frames": [], "vector": []}
    for vector in asked:
        for name, engine in (("frames", labelled), ("vector", single)):
            started = time.perf_counter()
            engine.search(Query(vector=vector, profile=name, with_documents=False))
            spent[name].append(1000 * (time.perf_counter() - started))
    print(f"{documents:,} documents of {LABELS} vectors: p50 {np.median(spent['frames']):.2f} ms")
    print(f"{documents * LABELS:,} of one vector: p50 {np.median(spent['vector']):.2f} ms")


if __name__ == "__main__":
    main()
