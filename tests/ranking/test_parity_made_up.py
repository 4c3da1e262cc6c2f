"""A real Vespa's answers on made-up captions, answered by the embedded engine.

Every sixth record of each file; `python benchmarks/parity.py tests/golden/made-up` does all.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vespa_records.compare import compare
from tests.vespa_records.records import RecordsError, find_collections, read_records
from tests.vespa_records.replay import Skipped, make_replay
from tests.vespa_records.table import Row, measure, to_text

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "made-up"
ROOT = GOLDEN.parents[2]
SKIPPED = {"operators", "grammar phrase", "phrase"}


@pytest.fixture(scope="module")
def collections():
    return {collection.name: collection for collection in find_collections(GOLDEN)}


@pytest.fixture(scope="module", params=["synth", "gaps"])
def compared(request, collections):
    """(record, replay, comparison) of every sixth record, and why the others were skipped."""
    collection = collections[request.param]
    done, skipped = [], set()
    for path in collection.files.values():
        for record in list(read_records(path))[::6]:
            try:
                replay = make_replay(record, collection)
            except Skipped as reason:
                skipped.add(str(reason))
                continue
            done.append((record, replay, compare(record, replay, collection)))
    return done, skipped


def largest(compared, start):
    differences = [
        value
        for _, _, found in compared[0]
        for name, value in found.differences.items()
        if name.startswith(start)
    ]
    assert differences
    return max(differences)


def test_nothing_differs_by_more_than_is_demanded(compared):
    done, skipped = compared
    assert len(done) > 40
    assert skipped <= SKIPPED
    assert {record["id"]: f.faults for record, _, f in done if f.faults} == {}


def test_bm25_of_every_hit(compared):
    assert largest(compared, "bm25(") < 1e-9


def test_closeness_and_distance_of_every_hit(compared):
    assert largest(compared, "closeness(") < 1e-6
    assert largest(compared, "distance(") < 1e-6


def test_relevance_where_candidates_follow_from_the_documents(compared):
    exact = [found for _, replay, found in compared[0] if replay.exact and not found.ties]
    assert len(exact) > 35
    assert max(found.differences.get("relevance", 0.0) for found in exact) < 1e-6


def test_most_of_the_best_hits_are_the_same_even_in_weak_and(compared):
    done, _ = compared
    of_words = [f.overlap[10] for r, _, f in done if r["kind"] == "lexical-weakand" and f.overlap]
    assert not of_words or sum(of_words) / len(of_words) > 0.9


def test_smaller_cells_and_nothing_to_rank_by(collections):
    kinds = {"vector-bfloat16", "vector-int8", "vector-int8-unscaled", "vector-scaled-query"}
    collection = collections["gaps"]
    records = [r for path in collection.files.values() for r in read_records(path)]
    some = [r for r in records if r["kind"] in kinds][::7]
    some += [r for r in records if r["kind"] == "all"]
    assert {r["kind"] for r in some} == {*kinds, "all"}
    for record in some:
        assert compare(record, make_replay(record, collection), collection).faults == []


def test_a_wrong_score_is_a_fault(collections):
    collection = collections["synth"]
    (path,) = collection.files.values()
    record = next(r for r in read_records(path) if r["kind"] == "lexical" and r["hits"])
    record["hits"][0][2] *= 1 + 1e-6
    record["hits"][1] = ["synth-99999", 99.0, 99.0]
    found = compare(record, make_replay(record, collection), collection)
    assert any("bm25(caption)" in fault for fault in found.faults)
    assert any("Vespa has synth-99999" in fault for fault in found.faults)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("caption contains phrase('a','b')", "phrase()"),
        ("userInput(@text) and userInput(@text)", "AND of several parts"),
        ("nonsense", "YQL"),
        ("false", "false()"),
    ],
)
def test_what_cannot_be_answered_says_why(collections, where, reason):
    request = {
        "yql": f"select * from synth where {where}",
        "ranking": "lexical",
        "language": "en",
        "text": "ct",
    }
    with pytest.raises(Skipped) as caught:
        make_replay({"request": request, "hits": [], "total": 0}, collections["synth"])
    assert reason in str(caught.value)


def test_the_table_names_what_was_skipped_and_what_is_at_fault():
    row = Row("synth/queries", "lexical", faults={"r1": ["bm25 differs"]})
    row.skipped["operators"] = 3
    assert "- 3 x operators" in to_text([row])
    assert "r1: bm25 differs" in to_text([row])


def test_an_empty_folder(tmp_path):
    with pytest.raises(RecordsError, match="no records"):
        find_collections(tmp_path)


def test_the_command_gives_json(tmp_path):
    """Over a folder of records that has a few of those at hand."""
    few = list(read_records(GOLDEN / "gaps.jsonl.gz"))[:30]
    with gzip.open(tmp_path / "gaps.jsonl.gz", "wt") as stream:
        stream.writelines(f"{json.dumps(record)}\n" for record in few)
    done = subprocess.run(
        [sys.executable, "benchmarks/parity.py", GOLDEN, "--records", tmp_path, "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["file"] for row in rows} == {"gaps/gaps"}
    assert sum(row["compared"] for row in rows) == 30


def test_a_malformed_record_is_counted_and_the_others_are_compared(tmp_path):
    (name,) = (p.name for p in GOLDEN.glob("gaps*.jsonl.gz"))
    records = list(read_records(GOLDEN / name))[:3]
    del records[0]["hits"]
    with gzip.open(tmp_path / name, "wt", encoding="utf-8") as stream:
        stream.write("\n".join(["", *map(json.dumps, records)]))
    rows = list(measure(find_collections(GOLDEN, tmp_path)))
    assert sum(row.compared for row in rows) == 2
    assert {reason for row in rows for reason in row.skipped} == {
        "malformed record: no list of hits"
    }
