from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.collection.runs import EvaluationError
from eval.evaluate import Options, evaluate
from eval.protocols.own_topics import own_task, read_topics
from eval.search.targets import EmbeddedTarget


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_tab_separated_topics_and_trec_judgements(pool, tmp_path):
    topics = write(tmp_path / "topics.tsv", "1\tlung ct\n2\tbrain mri\n3\tnothing\n")
    qrels = write(tmp_path / "x.qrels", "1 0 d00 2\n1 0 far 1\n2 0 d03 1\n3 0 d03 0\n9 0 d00 1\n")
    task = own_task(pool, topics, qrels)
    assert [(t.id, t.text) for t in task.topics] == [("1", "lung ct"), ("2", "brain mri")]
    assert task.qrels.to_mapping()["1"] == {"d00": 2, "far": 1}
    assert task.notes == (
        "1 query left out: no relevant document is judged.",
        "1 query left out: judged, but not among the topics.",
        "1 judged documents are not in the index.",
    )


def test_trec_blocks(tmp_path):
    path = write(
        tmp_path / "topics.txt",
        "<top>\n<num> Number: 301\n<title> lung\n nodules\n<desc> x\n</top>\n"
        "<top><num>302<title>brain</top>",
    )
    assert read_topics(path) == {"301": "lung nodules", "302": "brain"}


def test_beir_layout(pool, tmp_path):
    lines = [json.dumps({"_id": "q1", "text": "lung"}), json.dumps({"_id": "q2", "text": "brain"})]
    write(tmp_path / "queries.jsonl", "\n".join(lines))
    header = "query-id\tcorpus-id\tscore\n"
    write(tmp_path / "qrels" / "dev.tsv", header + "q1\td00\t1\n")
    write(tmp_path / "qrels" / "test.tsv", header + "q1\td01\t1\nq2\td03\t2\n")
    task = own_task(pool, tmp_path)
    assert task.qrels.to_mapping() == {"q1": {"d01": 1}, "q2": {"d03": 2}}


@pytest.mark.parametrize(
    ("topics", "qrels", "message"),
    [
        ("no tab here\n", "1 0 d00 1\n", "line 1: expected `id<tab>text`"),
        ("1\tlung\n", "1 0 d00\n", "line 1"),
        ("1\tlung\n", "1 0 unknown 1\n", "No judged document"),
        ("<top><title>x</top>", "1 0 d00 1\n", "no <num>"),
    ],
)
def test_damaged_files_are_told(pool, tmp_path, topics, qrels, message):
    paths = write(tmp_path / "t.txt", topics), write(tmp_path / "q.txt", qrels)
    with pytest.raises(EvaluationError, match=message):
        own_task(pool, *paths)


def test_judgements_without_their_queries_are_refused():
    with pytest.raises(EvaluationError, match="no effect without topics"):
        Options(qrels=Path("qrels.txt"))


def test_own_topics_are_evaluated(engine, encoder, phantoms, tmp_path):
    rows = phantoms.table(["id", "caption"]).to_pylist()[:5]
    topics = write(
        tmp_path / "t.tsv", "".join(f"{n}\t{r['caption']}\n" for n, r in enumerate(rows))
    )
    qrels = write(tmp_path / "q", "".join(f"{n} 0 {r['id']} 1\n" for n, r in enumerate(rows)))
    found = evaluate(EmbeddedTarget(engine), encoder, phantoms, Options(topics=topics, qrels=qrels))
    figures = {row["profile"]: row for row in found.metrics()["rows"] if row["metric"] == "RR@10"}
    assert figures["lexical"]["protocol"] == "own-topics"
    assert figures["lexical"]["value"] == 1.0
    assert figures["lexical"]["leaky"]
    assert figures["lexical"]["pool"] == 600


def test_files_of_other_systems_are_read_right(pool, tmp_path):
    """A byte order mark, Windows line ends, separators inside JSON, no header, repeated lines."""
    queries = '\ufeff{"_id": "q 1", "text": "lung\u2028ct"}\r\n{"_id": "q2", "text": "brain"}\r\n'
    topics = tmp_path / "queries.jsonl"
    topics.write_bytes(queries.encode())
    qrels = tmp_path / "qrels.tsv"
    qrels.write_bytes(b"\xef\xbb\xbfq 1\td00\t1\r\nq 1\td00\t1\r\nq2\td03\t2.0\r\n")
    task = own_task(pool, topics, qrels)
    assert [(t.id, t.text) for t in task.topics] == [("q 1", "lung\u2028ct"), ("q2", "brain")]
    assert task.qrels.to_mapping() == {"q 1": {"d00": 1}, "q2": {"d03": 2}}
    assert task.notes == ("1 lines of qrels.tsv repeat another one.",)
    assert task.metric == "nDCG@10"


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("1 0 d00 0\n", "judges no document relevant"),
        ("1 0 d00 1\n1 0 d00 2\n", "line 2.*judged 1 before"),
        ("1 0 d00 .5\n", "line 1.*not a whole number"),
        ("1\td00\tNaN\n", "line 1.*not a finite number"),
        ("query-id\tcorpus-id\tscore\n1\td00\n", "line 2"),
    ],
)
def test_judgements_that_mean_nothing_are_refused(pool, tmp_path, qrels, message):
    paths = write(tmp_path / "t.tsv", "1\tlung\n"), write(tmp_path / "q.txt", qrels)
    with pytest.raises(EvaluationError, match=message):
        own_task(pool, *paths)


def test_a_topic_that_is_there_twice(tmp_path):
    path = write(tmp_path / "t.tsv", "1\tlung\n1\tbrain\n")
    with pytest.raises(EvaluationError, match="line 2: topic '1' occurs twice"):
        read_topics(path)
