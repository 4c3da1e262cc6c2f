from __future__ import annotations

import numpy as np
from rank_bm25 import BM25Okapi

from eval.protocols import PROTOCOLS
from eval.search.rank_bm25 import rank_bm25_run, rank_bm25_scores


def test_scores_are_those_of_rank_bm25():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join(rng.choice(words, size=int(rng.integers(1, 30)))) for _ in range(80)]
    queries = [*texts[:10], "w1 w1 unknown", ""]
    model = BM25Okapi([text.split() for text in texts])
    expected = np.stack([model.get_scores(query.split()) for query in queries])
    np.testing.assert_allclose(rank_bm25_scores(texts, queries), expected, atol=1e-12)


def test_a_run_leaves_excluded_documents_out(pool):
    task = PROTOCOLS["same-case"](pool)[0]
    run = rank_bm25_run(task, pool.captions, depth=5)
    assert all(name != "d00" for name in run.names(0))
    assert run.names(0)[0] == "d01"
    assert (np.diff(run.scores[0][np.isfinite(run.scores[0])]) <= 0).all()


def test_captions_without_a_word_between_white_space():
    assert rank_bm25_scores(["", " "], ["chest"]).tolist() == [[0.0, 0.0]]
