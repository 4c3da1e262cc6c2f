"""A real server's recorded answers earn the figures that the embedded engine earns.

The same questions go to both: to the records through our client, strict as evaluation needs it,
and to the same documents in an embedded engine with the server's own schema. Judgements are
drawn at random, a tenth of the documents a query, so that every rank of every hit counts. What
follows from the documents alone earns exactly the same; HNSW and weakAnd, whose hits depend on
the order of feeding, about the same.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.collection.clusters import Clusters
from eval.collection.runs import Qrels, Run
from eval.leakage.leakage import Leakage
from eval.measure.metrics import parse_metrics
from eval.measure.results import judge
from eval.protocols.tasks import Task, Topic
from eval.search.answer import refuse_partial
from tests.live.recorded import load_recordings, recorded_engine
from tests.vespa_records.records import find_collections
from tests.vespa_records.replay import Skipped, make_replay

MADE_UP = Path(__file__).parents[1] / "golden" / "made-up"
METRICS = parse_metrics(["RR@10", "Success@1", "nDCG@20", "R@20", "AP@20", "P@5"])
SHARE = 0.1


def judged(queries, documents):
    rng = np.random.default_rng(0)
    count = int(SHARE * len(documents))
    columns = [np.sort(rng.permutation(len(documents))[:count]) for _ in queries]
    grades = [rng.integers(1, 4, count) for _ in queries]
    return Qrels.from_columns(queries, documents, columns, grades)


def replays(collection, recordings, exact):
    """Those that can be asked; phases depend on how many hits are asked for."""
    for recording in recordings.values():
        asked = {"request": recording.request, "status": 200, "hits": [], "total": 0}
        try:
            replay = make_replay(asked, collection)
        except Skipped:
            continue
        phases = replay.profile.global_phase or replay.profile.second_phase
        cut = replay.offset or replay.threshold is not None
        # Vespa's exact search lets more than the target hits through, which only a blend shows.
        follows = replay.exact and not (replay.near and replay.query.text)
        if follows == exact and not (phases or cut):
            yield recording.id, replay


def answers(collection, path, exact):
    """Profile -> query id -> (the server's result, the embedded engine's)."""
    found = defaultdict(dict)
    recordings = {r.id: r for r in load_recordings(path) if r.status == 200}
    asked = dict(replays(collection, recordings, exact))
    chosen = [recordings[name] for name in asked]
    if not chosen:
        return found
    with recorded_engine(chosen, collection.vector_of) as (live, queries):
        results = live.search_many([replace(query, k=50) for query in queries.values()])
    for name, served in zip(queries, results, strict=True):
        replay = asked[name]
        engine = collection.engine
        profile = replace(replay.profile, name=f"replayed_{replay.profile.name}")
        engine.profiles = engine.profiles.replaced([profile])
        ours = engine.search(replace(replay.query, profile=profile.name, k=50))
        found[replay.profile.name][name] = served, ours
    return found


def judge_both(pairs, documents):
    """Estimates of the two engines over the same queries."""
    queries = tuple(pairs)
    qrels = judged(queries, documents)
    task = Task("recorded", "", tuple(Topic(name, name) for name in queries), qrels)
    runs = {}
    for side, results in zip(("vespa", "embedded"), zip(*pairs.values(), strict=True), strict=True):
        refuse_partial(results, task)
        ids, scores = [r.ids for r in results], [r.scores for r in results]
        runs[side] = Run.from_lists(queries, documents, ids, scores)
    return judge(
        task,
        runs,
        METRICS,
        leakage=Leakage(("",) * len(queries)),
        clusters=Clusters.connect([[]] * len(queries)),
    )


def results(collections, file, exact):
    for collection in collections:
        documents = tuple(sorted(d.id for d in collection.documents))
        for name, path in collection.files.items():
            if name == file:
                for pairs in answers(collection, path, exact).values():
                    yield judge_both(pairs, documents)


def check(collections, file, at_least):
    """Exact searches earn the very same; approximate ones differ by less than noise."""
    compared = 0
    for exact in (True, False):
        for result in results(collections, file, exact):
            vespa, embedded = result.values["vespa"], result.values["embedded"]
            (change,) = result.comparisons
            if exact:
                for name in vespa:
                    np.testing.assert_allclose(vespa[name], embedded[name], atol=1e-9)
            assert change.p > 0.05
            assert abs(change.difference) <= 0.03
            assert result.estimates["vespa"]["R@20"].value > 0
            compared += len(result.task.topics)
    assert compared >= at_least


def test_made_up_records():
    check(find_collections(MADE_UP), "queries", at_least=500)


@pytest.fixture(scope="module")
def roco(vespa_golden, shared_data):
    """Read once; each replay brings its own profile."""
    return find_collections(vespa_golden)


@pytest.mark.parametrize(("file", "at_least"), [("lexical", 90), ("vector", 150), ("hybrid", 80)])
def test_records_of_roco(roco, file, at_least):
    check(roco, file, at_least)
