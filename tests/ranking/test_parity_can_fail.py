"""The comparison with a real Vespa must be able to fail.

Answers of a server are altered, and the engine is sabotaged: each must be called a fault. What is
odd about a record itself is skipped by its reason instead.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranking.engine.engine import EmbeddedEngine
from tests.vespa_records.records import find_collections, read_records
from tests.vespa_records.table import Row, count_record

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "made-up"
WANTED = [
    ("lexical", "lexical"),
    ("lexical-weakand", "lexical"),
    ("vector-exact", "vector"),
    ("vector-ann", "vector"),
    ("hybrid-or", "hybrid_saturated"),
    ("hybrid-or", "hybrid_linear"),
    ("hybrid-or", "hybrid_rrf"),
    ("hybrid-target10", "hybrid_saturated"),
]
APPROXIMATE = {"lexical-weakand", "vector-ann", "hybrid-target10"}


@pytest.fixture(scope="module")
def collection():
    return find_collections(GOLDEN)[0]


@pytest.fixture(scope="module")
def records(collection):
    (path,) = collection.files.values()
    found = {}
    for record in read_records(path):
        name = (record["kind"], record["request"]["ranking"])
        scores = [hit[1] for hit in record["hits"]]
        if name in WANTED and len(scores) > 20 and scores[0] - scores[10] > 1e-3:
            found.setdefault(name, record)
    assert set(found) == set(WANTED)
    return found


def counted(record, collection):
    row = Row("file", "kind")
    count_record(row, record, collection, "line 1")
    return row


def not_a_number(hits):
    hits[3][1] = float("nan")


def another_relevance(hits):
    hits[3][1] += 1e-5


def all_relevances(hits):
    for hit in hits:
        hit[1] = hit[1] * (1 + 1e-5) + 1e-5


def another_feature(hits):
    hits[3][2] += 1e-5


def reversed_list(hits):
    hits.reverse()


def swapped_rows(hits):
    hits[0], hits[10] = hits[10], hits[0]


def swapped_ids(hits):
    hits[0][0], hits[10][0] = hits[10][0], hits[0][0]


def one_hit_twice(hits):
    hits[1] = list(hits[0])


def one_hit_more(hits):
    hits.insert(1, list(hits[0]))


def a_stranger(hits):
    hits[0][0] = "no-such-document"


def a_hit_left_out(hits):
    del hits[3]


def half_a_list(hits):
    del hits[len(hits) // 2 :]


def no_hits(hits):
    hits.clear()


ALTERED = [
    not_a_number, another_relevance, all_relevances, another_feature, reversed_list, swapped_rows,
    swapped_ids, one_hit_twice, one_hit_more, a_stranger, a_hit_left_out, half_a_list, no_hits,
]  # fmt: skip


@pytest.mark.parametrize("name", WANTED, ids="-".join)
def test_a_record_as_it_is_has_no_fault(collection, records, name):
    row = counted(records[name], collection)
    assert row.compared == 1
    assert row.faults == {}


@pytest.mark.parametrize("name", WANTED, ids="-".join)
def test_an_altered_answer_is_a_fault(collection, records, name):
    missed = []
    for alter in ALTERED:
        record = copy.deepcopy(records[name])
        alter(record["hits"])
        if not counted(record, collection).faults:
            missed.append(alter.__name__)
    assert missed == []


def test_a_window_that_equal_scores_leave_open_is_compared_all_the_same(collection):
    (path,) = collection.files.values()
    reranked = (r for r in read_records(path) if r["request"]["ranking"] == "hybrid_second")
    record = next(r for r in reranked if counted(r, collection).tied)
    for alter in (not_a_number, all_relevances, no_hits, reversed_list):
        altered = copy.deepcopy(record)
        alter(altered["hits"])
        assert counted(altered, collection).faults, alter.__name__


@pytest.mark.parametrize("name", WANTED, ids="-".join)
def test_another_total_is_a_fault(collection, records, name):
    """weakAnd and HNSW leave the total open, but not below their target hits."""
    totals = [0, 10**6]
    if name[0] not in APPROXIMATE:
        totals.append(records[name]["total"] + 7)
    for total in totals:
        assert counted({**records[name], "total": total}, collection).faults


def test_no_more_hits_than_neighbours_are_ranked_without_their_words(collection, records):
    record = copy.deepcopy(records["hybrid-target10", "hybrid_saturated"])
    for hit in record["hits"]:  # the blend with an alpha of 0.5 as if bm25 were 0
        hit[1] = 0.5 * hit[2 + record["features"].index("vector_score")]
    record["hits"].sort(key=lambda hit: -hit[1])
    record["total"] = 100
    (sentences,) = counted(record, collection).faults.values()
    assert any("as if without words" in sentence for sentence in sentences)


def sabotage(monkeypatch, change):
    """Let every answer of the engine's be changed but those that its features are read from."""
    search = EmbeddedEngine.search

    def changed(engine, query):
        found = search(engine, query)
        return found if query.profile.endswith("_features") else change(found)

    monkeypatch.setattr(EmbeddedEngine, "search", changed)


def refuse(_):
    raise ValueError("a bug in the engine")


@pytest.mark.parametrize("name", WANTED, ids="-".join)
@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, scores=np.full(len(r.scores), np.nan)),
        lambda r: replace(r, ids=r.ids[::-1], scores=r.scores[::-1]),
        lambda r: replace(r, total=0),
        lambda r: replace(r, ids=r.ids[:-1], scores=r.scores[:-1]),
        lambda r: replace(r, ids=(*r.ids[:-1], r.ids[0])),
        refuse,
    ],
    ids=["NaN", "worst first", "total", "one left out", "one twice", "an exception"],
)
def test_a_sabotaged_engine_is_at_fault(collection, records, monkeypatch, name, change):
    sabotage(monkeypatch, change)
    row = counted(records[name], collection)
    assert row.compared == 1
    assert len(row.faults) == 1


def test_an_engine_that_scores_otherwise_is_at_fault(collection, records, monkeypatch):
    sabotage(monkeypatch, lambda r: replace(r, scores=r.scores + 1e-5))
    assert [n for n in WANTED if not counted(records[n], collection).faults] == []


Y = "select * from synth where "
NEAR = "({targetHits: 9, approximate: false, distanceThreshold: -1}nearestNeighbor(embedding, q))"


def asked(**changes):
    return lambda record: record["request"].update(changes)


ODD = {
    "no list of hits": lambda r: r.pop("hits"),
    "no total": lambda r: r.update(total=None),
    "no request": lambda r: r.update(request=None),
    "no yql": lambda r: r["request"].pop("yql"),
    "text is no string": asked(text=5),
    "a hit is not an id": lambda r: r["hits"][0].append(1.0),
    "a hit reads": lambda r: r["hits"][0].__setitem__(1, None),
    "hits is 'x'": asked(hits="x"),
    "offset is -1": asked(offset=-1),
    "it ends too early": asked(yql=f"{Y}((("),
    "nested too deeply": asked(yql=Y + "(" * 3000 + "true" + ")" * 3000),
    "userInput() of nothing": asked(yql=f"{Y}userInput()"),
    "no text is given for @that": asked(yql=f"{Y}userInput(@that)"),
    "text without a word": asked(text="..."),
    "coverage of 38 %": lambda r: r.update(
        coverage={"coverage": 38, "full": False, "degraded": {"timeout": True}}
    ),
    "2 content nodes": lambda r: r.update(coverage={"full": True, "nodes": 2}),
    "an error beside the hits": lambda r: r.update(errors=[{"code": 12}]),
    "Vespa answered 504": lambda r: r.update(status=504),
}


@pytest.mark.parametrize("reason", ODD)
def test_an_odd_record_is_skipped_by_its_reason(collection, records, reason):
    record = copy.deepcopy(records["lexical", "lexical"])
    ODD[reason](record)
    row = counted(record, collection)
    assert row.compared == 0
    assert reason in " ".join(row.skipped)


@pytest.mark.parametrize("vector", [[1.0, 2.0], [float("nan")] * 64, {"unknown": "recipe"}])
def test_an_odd_query_vector_is_skipped(collection, records, vector):
    record = copy.deepcopy(records["vector-exact", "vector"])
    record["request"]["input.query(q)"] = vector
    assert counted(record, collection).skipped


@pytest.mark.parametrize("line", [[1, 2], "text", None, 5])
def test_a_line_that_is_no_object_is_skipped(collection, line):
    assert "not an object" in " ".join(counted(line, collection).skipped)


def test_a_threshold_is_kept_by_a_profile_that_shows_no_distance(collection, records):
    record = copy.deepcopy(records["hybrid-or", "hybrid_saturated"])
    record["request"]["yql"] = Y + NEAR
    record |= {"hits": [], "total": 0}
    assert counted(record, collection).faults == {}
