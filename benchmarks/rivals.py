"""What else one would take for hybrid search in one process, each as its documentation does it.

A rival is built once into a folder, opened from it, and answers (text, vector) with document
numbers, best first. The effort of its vector index is raised until it finds .99 of the true ten
nearest.
"""

from __future__ import annotations

import json
import shutil
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from made_up import DIMENSION, Asked, Corpus
from numpy.typing import NDArray

__all__ = ["RIVALS", "Rival", "open_rival"]

DEPTH = 100  # hits of each half that are fused
RRF_K = 60


class Rival(ABC):
    """One engine, opened from the folder that its `build` filled."""

    modules: Sequence[str] = ()
    efforts: Sequence[int] = (100, 150, 200, 300, 400, 600, 900)
    effort: int = 100

    @staticmethod
    @abstractmethod
    def build(corpus: Corpus, folder: Path) -> None:
        """Index the corpus, with one thread where that can be said."""

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Open what `build` left."""

    @abstractmethod
    def lexical(self, text: str, k: int) -> Sequence[int]:
        """Document numbers by BM25."""

    @abstractmethod
    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        """Document numbers by nearness."""

    def hybrid(self, asked: Asked, k: int) -> Sequence[int]:
        """Reciprocal rank fusion of both."""
        halves = self.lexical(asked.text, DEPTH), self.vector(asked.vector, DEPTH)
        return fuse(halves)[:k]


def open_rival(name: str, corpus: Corpus, folder: Path) -> tuple[Rival, float]:
    """Open a rival from `folder`, where it is built first; also return the build's CPU seconds."""
    done = folder / "built.json"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.process_time()
        RIVALS[name].build(corpus, folder)
        done.write_text(json.dumps({"cpu_s": time.process_time() - start}), encoding="utf-8")
    return RIVALS[name](folder), json.loads(done.read_text(encoding="utf-8"))["cpu_s"]


def fuse(rankings: Iterable[Sequence[int]]) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, document in enumerate(ranking, 1):
            scores[document] += 1 / (RRF_K + rank)
    return sorted(scores, key=lambda document: -scores[document])


class Bm25sHnswlib(Rival):
    """bm25s with its numba backend, and hnswlib."""

    modules = ("bm25s", "hnswlib", "numba")

    @staticmethod
    def build(corpus: Corpus, folder: Path) -> None:
        import bm25s  # noqa: PLC0415 - each rival is optional
        import hnswlib  # noqa: PLC0415

        words = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend="numba")
        words.index([text.split() for text in corpus.captions], show_progress=False)
        words.save(folder / "words")
        count, dimension = corpus.vectors.shape
        near = hnswlib.Index("ip", dimension)
        near.init_index(count, M=16, ef_construction=200)
        near.set_num_threads(1)
        near.add_items(corpus.vectors, num_threads=1)
        near.save_index(str(folder / "near"))

    def __init__(self, folder: Path) -> None:
        import bm25s  # noqa: PLC0415
        import hnswlib  # noqa: PLC0415

        self._words = bm25s.BM25.load(folder / "words")
        self._words.backend = "numba"
        self._words.activate_numba_scorer()
        self._near = hnswlib.Index("ip", DIMENSION)
        self._near.load_index(str(folder / "near"))
        self._near.set_num_threads(1)

    def lexical(self, text: str, k: int) -> Sequence[int]:
        found, _ = self._words.retrieve([text.split()], k=k, show_progress=False, n_threads=1)
        return found[0].tolist()

    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        self._near.set_ef(max(self.effort, k))
        return self._near.knn_query(vector, k, num_threads=1)[0][0].tolist()


class TantivyUsearch(Rival):
    """tantivy and usearch, in bfloat16."""

    modules = ("tantivy", "usearch.index")
    efforts = (64, 128, 192, 256, 384, 512, 768)

    @staticmethod
    def build(corpus: Corpus, folder: Path) -> None:
        import tantivy  # noqa: PLC0415
        from usearch.index import Index  # noqa: PLC0415

        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="whitespace")
        schema.add_unsigned_field("number", fast=True)
        (folder / "words").mkdir()
        index = tantivy.Index(schema.build(), str(folder / "words"))
        writer = index.writer(300_000_000, 1)
        for number, caption in enumerate(corpus.captions):
            document = tantivy.Document()
            document.add_text("text", caption)
            document.add_unsigned("number", number)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        count, dimension = corpus.vectors.shape
        near = Index(ndim=dimension, metric="ip", dtype="bf16")
        near.add(np.arange(count), corpus.vectors, threads=1)
        near.save(folder / "near")

    def __init__(self, folder: Path) -> None:
        import tantivy  # noqa: PLC0415
        from usearch.index import Index  # noqa: PLC0415

        self._index = tantivy.Index.open(str(folder / "words"))
        self._searcher = self._index.searcher()
        self._near = Index.restore(folder / "near")

    def lexical(self, text: str, k: int) -> Sequence[int]:
        query = self._index.parse_query(text, ["text"])
        hits = self._searcher.search(query, k, count=False).hits
        return self._searcher.fast_field_values("number", [address for _, address in hits])

    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        self._near.expansion_search = self.effort
        return self._near.search(vector, k, threads=1).keys.tolist()


class LanceDb(Rival):
    """LanceDB's own hybrid query: its full-text index, IVF with HNSW inside, its RRF."""

    modules = ("lancedb", "lancedb.rerankers", "pyarrow")
    efforts = (20, 40, 80)

    @staticmethod
    def build(corpus: Corpus, folder: Path) -> None:
        import lancedb  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415
        from lancedb.index import FTS, HnswSq  # noqa: PLC0415

        flat = pa.array(corpus.vectors.reshape(-1))
        rows = pa.table(
            {
                "number": np.arange(len(corpus.captions)),
                "text": corpus.captions,
                "vector": pa.FixedSizeListArray.from_arrays(flat, corpus.vectors.shape[1]),
            }
        )
        table = lancedb.connect(folder).create_table("images", rows)
        table.create_index("vector", config=HnswSq(distance_type="cosine"))
        table.create_index("text", config=FTS(base_tokenizer="whitespace", stem=False))

    def __init__(self, folder: Path) -> None:
        import lancedb  # noqa: PLC0415
        from lancedb.rerankers import RRFReranker  # noqa: PLC0415

        self._table = lancedb.connect(folder).open_table("images")
        self._rerank = RRFReranker(RRF_K)

    def lexical(self, text: str, k: int) -> Sequence[int]:
        query = self._table.search(text, query_type="fts", fts_columns="text")
        return query.limit(k).select(["number"]).to_arrow()["number"].to_pylist()

    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        query = self._table.search(vector).nprobes(self.effort).ef(8 * DEPTH)
        return query.refine_factor(2).limit(k).select(["number"]).to_arrow()["number"].to_pylist()

    def hybrid(self, asked: Asked, k: int) -> Sequence[int]:
        query = self._table.search(query_type="hybrid", fts_columns="text").vector(asked.vector)
        query = query.text(asked.text).rerank(self._rerank).nprobes(self.effort)
        found = query.ef(8 * DEPTH).refine_factor(2).limit(DEPTH).select(["number"])
        return found.to_arrow()["number"].to_pylist()[:k]


RIVALS: dict[str, type[Rival]] = {
    "bm25s+hnswlib": Bm25sHnswlib,
    "tantivy+usearch": TantivyUsearch,
    "lancedb": LanceDb,
}
