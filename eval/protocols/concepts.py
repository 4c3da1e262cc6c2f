"""Concepts: relevant images share concepts with the query, graded by their number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.sparse import csr_array

from eval.collection.clusters import group_numbers
from eval.collection.pool import Pool
from eval.collection.runs import Qrels
from eval.protocols.tasks import GRADED, Asks, Skipped, Task, Topic, left_out_notes
from ingest.corpus.duplicates import normal_caption

__all__ = ["concepts", "shared_concepts"]

# Every query has hundreds of judged documents here: more queries gain little and cost memory.
MOST_QUERIES = 1_000
SEED = 0


def concepts(pool: Pool) -> list[Task | Skipped]:
    """Concept names, or a caption where the corpus has none, find images sharing the concepts."""
    rows = [row for row in pool.query_rows if pool.concepts[row]]
    if not rows:
        return [Skipped("concepts", "the corpus has no concepts")]
    texts = [" ".join(dict.fromkeys(pool.concept_names[row])) or pool.captions[row] for row in rows]
    worded = [(row, text) for row, text in zip(rows, texts, strict=True) if normal_caption(text)]
    task = shared_concepts(
        pool,
        "concepts",
        "The names of an image's concepts find images that share them, graded by how many; "
        "images of its own group are excluded.",
        [row for row, _ in worded],
        [text for _, text in worded],
    )
    return [task or Skipped("concepts", "no two images of different groups share a concept")]


def shared_concepts(
    pool: Pool,
    name: str,
    description: str,
    rows: Sequence[int],
    texts: Sequence[str],
    *,
    asks: Asks = "text",
) -> Task | None:
    """A task over queries made of `rows`; None if nothing is relevant to any of them.

    Grade: number of shared concepts. Own group excluded. Beyond 1,000 queries a seeded sample.
    """
    sampled = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:MOST_QUERIES])
    chosen = np.array(rows, dtype=np.intp)[sampled]
    clusters = group_numbers(pool.groups)
    grades = _shared(pool, chosen, clusters, only_vectors=asks == "image")
    answered = np.flatnonzero(np.diff(grades.indptr))
    if not len(answered):
        return None
    members = _members(clusters)
    topics = [
        Topic(pool.ids[rows[i]], texts[i], rows[i], tuple(members[clusters[rows[i]]]))
        for i in sampled[answered].tolist()
    ]
    return Task(
        protocol=name,
        description=description,
        topics=tuple(topics),
        qrels=Qrels(tuple(t.id for t in topics), pool.ids, grades[answered]),
        asks=asks,
        no_lexical="" if asks == "text" else "n/a: the query has no text",
        metric=GRADED,
        notes=left_out_notes(
            {
                "no concepts": len(pool.query_rows) - len(rows),
                f"beyond a random sample of {MOST_QUERIES}": len(rows) - len(chosen),
                "no other group shares a concept": len(chosen) - len(answered),
            }
        ),
    )


def _shared(pool: Pool, rows: np.ndarray, clusters: np.ndarray, *, only_vectors: bool) -> csr_array:
    """Number of shared concepts, int [rows, documents], 0 within a group."""
    names = sorted(set(chain.from_iterable(pool.concepts)))
    place = {name: column for column, name in enumerate(names)}
    columns = [sorted({place[name] for name in row}) for row in pool.concepts]
    has = Qrels.from_columns(pool.ids, tuple(names), columns).grades
    product = (has[rows] @ has.T).tocoo()
    kept = clusters[rows[product.row]] != clusters[product.col]
    if only_vectors:
        kept &= pool.has_vector[product.col]
    parts = (product.data[kept], (product.row[kept], product.col[kept]))
    return csr_array(parts, shape=product.shape, dtype=np.int32)


def _members(clusters: np.ndarray) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(int(clusters.max()) + 1)]
    for row, cluster in enumerate(clusters.tolist()):
        members[cluster].append(row)
    return members
