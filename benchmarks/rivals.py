"""What else one would take for hybrid search in one process, each as its documentation does it.

A rival is built once into a folder, opened from it, and answers (text, vector) with document
numbers, best first. The effort of its vector index is raised until it finds .99 of the true ten
nearest.

zvec searches int8 codes and compares the best with the vectors themselves (its refiner): at 16,000
documents that took about .6 of the time of its index without codes. Its hybrid query fuses as many
hits of each half as are asked for, so all rivals are measured with a hundred of each half and with
ten. Qdrant Edge scores words by sparse vectors, faster there than its text index, and searches int8
codes, twice as many as asked for, which are then compared.
"""

from __future__ import annotations

import json
import shutil
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from made_up import Asked, Corpus
from numpy.typing import NDArray

__all__ = ["RIVALS", "K", "Rival", "open_rival"]

K = 10
DEPTH = 100  # hits of each half that are fused
RRF_K = 60


class Rival(ABC):
    """One engine, opened from the folder that its `build` filled."""

    modules: Sequence[str] = ()
    efforts: Sequence[int] = (100, 150, 200, 300, 400, 600, 900, 1500, 2500)
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

    def hybrid(self, asked: Asked, k: int, depth: int = DEPTH) -> Sequence[int]:
        """Reciprocal rank fusion of the best `depth` of both."""
        halves = self.lexical(asked.text, depth), self.vector(asked.vector, depth)
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
        near.save_index(str(folder / f"near-{dimension}"))

    def __init__(self, folder: Path) -> None:
        import bm25s  # noqa: PLC0415
        import hnswlib  # noqa: PLC0415

        self._words = bm25s.BM25.load(folder / "words")
        self._words.backend = "numba"
        self._words.activate_numba_scorer()
        (near,) = folder.glob("near-*")
        self._near = hnswlib.Index("ip", int(near.name.removeprefix("near-")))
        self._near.load_index(str(near))
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
    efforts = (64, 128, 192, 256, 384, 512, 768, 1500, 2500)

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

    def hybrid(self, asked: Asked, k: int, depth: int = DEPTH) -> Sequence[int]:
        query = self._table.search(query_type="hybrid", fts_columns="text").vector(asked.vector)
        query = query.text(asked.text).rerank(self._rerank).nprobes(self.effort)
        found = query.ef(8 * DEPTH).refine_factor(2).limit(depth).select(["number"])
        return found.to_arrow()["number"].to_pylist()[:k]


@cache
def zvec_of_one_thread() -> ModuleType:
    """The module, which takes its settings once a process."""
    import zvec  # noqa: PLC0415

    zvec.init(query_threads=1, optimize_threads=1)
    return zvec


class Zvec(Rival):
    """zvec's own hybrid query: its full-text index, HNSW over int8 codes, its RRF."""

    modules = ("zvec",)
    efforts = (40, 64, 100, 150, 200, 300, 400, 600, 900, 1500, 2048)  # the most it takes

    @staticmethod
    def build(corpus: Corpus, folder: Path) -> None:
        zvec = zvec_of_one_thread()
        words = zvec.FtsIndexParam(tokenizer_name="whitespace", filters=[])
        near = zvec.HnswIndexParam(
            metric_type=zvec.MetricType.IP,
            m=16,
            ef_construction=200,
            quantize_type=zvec.QuantizeType.INT8,
            use_contiguous_memory=True,
        )
        vector = zvec.VectorSchema(
            "vector", zvec.DataType.VECTOR_FP32, corpus.vectors.shape[1], near
        )
        text = zvec.FieldSchema("text", zvec.DataType.STRING, index_param=words)
        schema = zvec.CollectionSchema("images", fields=[text], vectors=[vector])
        images = zvec.create_and_open(str(folder / "images"), schema)
        for numbers in batches(len(corpus.captions)):
            told = images.insert(
                [
                    zvec.Doc(
                        str(number),
                        fields={"text": corpus.captions[number]},
                        vectors={"vector": corpus.vectors[number]},
                    )
                    for number in numbers
                ]
            )
            if not all(each.ok() for each in told):
                raise RuntimeError(f"zvec refused documents: {told[0].message()}")
        images.optimize(zvec.OptimizeOption(concurrency=1))
        images.close()

    def __init__(self, folder: Path) -> None:
        self._zvec = zvec_of_one_thread()
        option = self._zvec.CollectionOption(read_only=True)
        self._images = self._zvec.open(str(folder / "images"), option)
        self._rerank = self._zvec.RrfReRanker(RRF_K)

    def lexical(self, text: str, k: int) -> Sequence[int]:
        return self._numbers(self._images.query_internal_ids(self._words(text), topk=k))

    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        return self._numbers(self._images.query_internal_ids(self._near(vector), topk=k))

    def hybrid(self, asked: Asked, k: int, depth: int = DEPTH) -> Sequence[int]:
        both = [self._words(asked.text), self._near(asked.vector)]
        found = self._images.query(both, topk=depth, output_fields=[], reranker=self._rerank)
        return [int(each.id) for each in found[:k]]

    def _words(self, text: str) -> object:
        return self._zvec.Query("text", fts=self._zvec.Fts(match_string=text))

    def _near(self, vector: NDArray[np.float32]) -> object:
        param = self._zvec.HnswQueryParam(ef=self.effort, is_using_refiner=True)
        return self._zvec.Query("vector", vector=vector, param=param)

    def _numbers(self, internal: NDArray[np.int64]) -> list[int]:
        """Document numbers of zvec's own, where fewer were found than asked for too."""
        return [int(each) for each in self._images.resolve_internal_ids(internal) if each]


class QdrantEdge(Rival):
    """Qdrant Edge's own hybrid query: BM25 by sparse vectors, HNSW over int8 codes, its RRF."""

    modules = ("qdrant_edge",)
    efforts = (40, 64, 100, 150, 200, 300, 400, 600, 900, 1500, 2500)

    @staticmethod
    def build(corpus: Corpus, folder: Path) -> None:
        import qdrant_edge as q  # noqa: PLC0415

        average = float(np.mean([len(caption.split()) for caption in corpus.captions]))
        settings = {"average": average, "dimension": corpus.vectors.shape[1]}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="ascii")
        words, config = edge_words(**settings), edge_config(**settings)
        shard = q.EdgeShard.create(str(folder / "images"), config)
        for numbers in batches(len(corpus.captions)):
            points = [
                q.Point(
                    number,
                    {
                        "near": corpus.vectors[number].tolist(),
                        "words": words.embed_document(corpus.captions[number]),
                    },
                )
                for number in numbers
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()

    def __init__(self, folder: Path) -> None:
        import qdrant_edge as q  # noqa: PLC0415

        self._q = q
        settings = json.loads((folder / "settings.json").read_text("ascii"))
        self._bm25 = edge_words(**settings)
        self._shard = q.EdgeShard.load(str(folder / "images"), edge_config(**settings))

    def lexical(self, text: str, k: int) -> Sequence[int]:
        return self._numbers(self._q.QueryRequest(k, query=self._words(text)))

    def vector(self, vector: NDArray[np.float32], k: int) -> Sequence[int]:
        query = self._q.QueryRequest(k, query=self._near(vector), params=self._params())
        return self._numbers(query)

    def hybrid(self, asked: Asked, k: int, depth: int = DEPTH) -> Sequence[int]:
        halves = [
            self._q.Prefetch(depth, query=self._words(asked.text)),
            self._q.Prefetch(depth, query=self._near(asked.vector), params=self._params()),
        ]
        fusion = self._q.Fusion.Rrf(k=RRF_K)
        return self._numbers(self._q.QueryRequest(k, query=fusion, prefetches=halves))

    def _words(self, text: str) -> object:
        return self._q.Query.Nearest(self._bm25.embed_query(text), using="words")

    def _near(self, vector: NDArray[np.float32]) -> object:
        return self._q.Query.Nearest(vector.tolist(), using="near")

    def _params(self) -> object:
        codes = self._q.QuantizationSearchParams(rescore=True, oversampling=2.0)
        return self._q.SearchParams(hnsw_ef=self.effort, quantization=codes)

    def _numbers(self, query: object) -> list[int]:
        return [point.id for point in self._shard.query(query)]


def edge_config(dimension: int, **_: float) -> object:
    """Qdrant Edge's settings: one thread, and one segment whatever its size."""
    import qdrant_edge as q  # noqa: PLC0415

    near = q.EdgeVectorParams(
        size=dimension,
        distance=q.Distance.Dot,
        hnsw_config=q.HnswIndexConfig(
            m=16, ef_construct=200, full_scan_threshold=1000, max_indexing_threads=1
        ),
        quantization_config=q.ScalarQuantizationConfig(
            type=q.ScalarType.Int8, memory=q.Memory.Pinned
        ),
    )
    return q.EdgeConfig(
        vectors={"near": near},
        sparse_vectors={"words": q.EdgeSparseVectorParams(modifier=q.Modifier.Idf)},
        max_search_threads=1,
        wal_enabled=False,  # its log is locked by one process
        optimizers=q.EdgeOptimizersConfig(  # sizes in KB
            default_segment_number=1, max_segment_size=10**9, indexing_threshold=1000
        ),
    )


def edge_words(average: float, **_: float) -> object:
    """What turns words into Qdrant Edge's sparse vectors; average: words a caption."""
    import qdrant_edge as q  # noqa: PLC0415

    config = q.Bm25Config(
        avg_len=average,
        tokenizer=q.TokenizerType.Whitespace,
        stemmer=q.DisabledStemmer(),
        stopwords=q.StopwordsSet(languages=set(), custom=set()),
        lowercase=False,
    )
    return q.Bm25(config)


def batches(count: int) -> Iterable[range]:
    """Numbers up to `count`, a thousand at a time."""
    return (range(start, min(start + 1000, count)) for start in range(0, count, 1000))


RIVALS: dict[str, type[Rival]] = {
    "bm25s+hnswlib": Bm25sHnswlib,
    "tantivy+usearch": TantivyUsearch,
    "lancedb": LanceDb,
    "zvec": Zvec,
    "qdrant-edge": QdrantEdge,
}
