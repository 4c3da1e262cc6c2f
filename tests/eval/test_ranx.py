"""Metrics and the paired test against ranx, on fixed runs.

ranx compiles for a minute; interpreted, in a process of its own, it needs seconds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from eval.collection.clusters import Clusters
from eval.collection.runs import Qrels, Run
from eval.measure.metrics import measure, parse_metrics
from eval.measure.significance import paired_randomisation

if importlib.util.find_spec("ranx") is None:
    pytest.skip("needs ranx", allow_module_level=True)

NAMES = {
    "RR@10": "mrr@10",
    "Success@5": "hit_rate@5",
    "nDCG@10": "ndcg@10",
    "R@100": "recall@100",
    "AP@100": "map@100",
}
IN_RANX = """
import json, sys
import numpy as np
from ranx import Qrels, Run, evaluate
from ranx.statistical_tests import fisher_randomization_test
judged, first, second, names = json.load(sys.stdin)
found = [
    evaluate(Qrels(judged), Run(run), names, return_mean=False) for run in (first, second)
]
a, b = (np.array(each["ndcg@10"]) for each in found)
p = fisher_randomization_test(a, b, n_permutations=4000)[0]
print(json.dumps({"values": {k: list(v) for k, v in found[0].items()}, "p": float(p)}))
"""


@pytest.fixture(scope="module")
def runs():
    """Queries in the order of their ids, which is ranx's."""
    rng = np.random.default_rng(7)
    judged = {
        f"q{q:02d}": {f"d{d}": int(rng.integers(1, 4)) for d in rng.choice(200, 12, replace=False)}
        for q in range(60)
    }

    def scored():
        return {
            query: {f"d{d}": float(120 - i) for i, d in enumerate(rng.permutation(200)[:120])}
            for query in judged
        }

    return judged, scored(), scored()


@pytest.fixture(scope="module")
def theirs(runs):
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_RANX],
        input=json.dumps([*runs, list(NAMES.values())]),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def values(judged, scored):
    qrels = Qrels.from_mapping(judged, [f"d{d}" for d in range(200)])
    run = Run.from_mapping(scored, qrels.queries, qrels.documents)
    return measure(run, qrels, parse_metrics(list(NAMES)))


def test_metrics_agree(runs, theirs):
    ours = values(*runs[:2])
    for name, other in NAMES.items():
        np.testing.assert_allclose(ours[name], theirs["values"][other], atol=1e-9, err_msg=name)


def test_the_paired_test_agrees(runs, theirs):
    judged, first, second = runs
    alone = Clusters.connect([[]] * len(judged))
    gap = values(judged, first)["nDCG@10"] - values(judged, second)["nDCG@10"]
    p = paired_randomisation(gap[:, None], alone, resamples=4_000)[0]
    assert p == pytest.approx(theirs["p"], abs=0.03)
