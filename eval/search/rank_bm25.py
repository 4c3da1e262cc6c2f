"""rank-bm25 with its defaults, the baseline many papers mean by "BM25".

Another formula than Vespa's: k1 = 1.5, idf = ln((N - n + .5) / (n + .5)), negative values
replaced by .25 times the mean idf. Its statistics come from `rank_bm25.BM25Okapi` itself; its
scores are computed for all queries at once, where the package scores one after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi
from scipy.sparse import csr_array

from eval.collection.runs import NOTHING, Run
from eval.protocols.tasks import Task

__all__ = ["BASELINE", "rank_bm25_run", "rank_bm25_scores"]

BASELINE = "rank-bm25 defaults"
BLOCK = 256


def rank_bm25_run(task: Task, texts: Sequence[str], depth: int) -> Run:
    """Rank `texts`, one a document of the task's pool, for each topic.

    Tokens are lower-case words between white space, as in the package's README. Documents
    that share no word with the query are not returned.
    """
    weights, vocabulary = _weights(texts)
    asked = _queries([topic.text for topic in task.topics], vocabulary)
    depth = min(depth, len(texts))
    ranked = np.full((len(task.topics), depth), NOTHING, np.int32)
    scores = np.full(ranked.shape, -np.inf)
    for start in range(0, len(task.topics), BLOCK):
        block = (asked[start : start + BLOCK] @ weights).toarray()
        for offset, topic in enumerate(task.topics[start : start + BLOCK]):
            block[offset, [*topic.excluded, *topic.hidden]] = 0.0
        order = _best(block, depth)
        found = np.take_along_axis(block, order, axis=1)
        rows = slice(start, start + len(block))
        ranked[rows] = np.where(found > 0, order, NOTHING)
        scores[rows] = np.where(found > 0, found, -np.inf)
    return Run(task.qrels.queries, task.qrels.documents, ranked, scores)


def rank_bm25_scores(texts: Sequence[str], queries: Sequence[str]) -> NDArray[np.float64]:
    """Scores [queries, documents] of rank-bm25 with its defaults."""
    weights, vocabulary = _weights(texts)
    return np.asarray((_queries(queries, vocabulary) @ weights).toarray())


def _weights(texts: Sequence[str]) -> tuple[csr_array, dict[str, int]]:
    """The score of each word in each document, [vocabulary, documents]."""
    tokens = [text.lower().split() for text in texts]
    if not any(tokens):
        return csr_array((0, len(texts)), dtype=np.float64), {}
    model = BM25Okapi(tokens)
    vocabulary = {word: column for column, word in enumerate(model.idf)}
    sizes = [len(row) for row in model.doc_freqs]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    words = np.array([vocabulary[word] for row in model.doc_freqs for word in row], np.int32)
    counts = np.array([count for row in model.doc_freqs for count in row.values()], np.float64)
    lengths = np.repeat(np.array(model.doc_len), sizes)
    norms = model.k1 * (1 - model.b + model.b * lengths / model.avgdl)
    idf = np.array(list(model.idf.values()))
    data = idf[words] * counts * (model.k1 + 1) / (counts + norms)
    matrix = csr_array((data, words, bounds), shape=(len(texts), len(vocabulary)))
    return matrix.T.tocsr(), vocabulary


def _queries(texts: Sequence[str], vocabulary: dict[str, int]) -> csr_array:
    """How often each query says each word, [queries, vocabulary]."""
    columns = [
        [vocabulary[word] for word in text.lower().split() if word in vocabulary] for text in texts
    ]
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    flat = np.array([column for row in columns for column in row], np.int32)
    shape = (len(texts), len(vocabulary))
    return csr_array((np.ones(len(flat)), flat, bounds), shape=shape)


def _best(scores: NDArray[np.float64], depth: int) -> NDArray[np.int32]:
    """Columns of the best scores of each row, ties by ascending column, [rows, depth]."""
    if depth == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
    last = scores.shape[1] - depth
    bar = np.partition(scores, last, axis=1)[:, last]
    best = np.empty((len(scores), depth), np.int32)
    for row, values in enumerate(scores):
        candidates = np.flatnonzero(values >= max(bar[row], np.finfo(float).tiny))
        order = np.argsort(-values[candidates], kind="stable")[:depth]
        found = candidates[order]
        best[row, : len(found)] = found
        # Fewer than `depth` documents score: fill up with any that scores nothing.
        if len(found) < depth:
            best[row, len(found) :] = np.argmin(values)
    return best
