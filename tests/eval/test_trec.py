from __future__ import annotations

import ir_measures
import pytest

from eval.collection.runs import EvaluationError, Qrels, Run
from eval.collection.trec import read_qrels, read_run, write_qrels, write_run


def test_round_trip(tmp_path):
    qrels = Qrels.from_mapping({"q 1": {"a b": 2, "100%": 1}, "q2": {"c": 1}})
    scored = {"q 1": {"c": 1.0, "a b": 1.0, "100%": 0.5}, "q2": {}}
    run = Run.from_mapping(scored, qrels.queries, qrels.documents)
    write_qrels(tmp_path / "x.qrels", qrels)
    write_run(tmp_path / "x.trec", run, "my profile")
    known = (*qrels.queries, *qrels.documents)
    assert read_qrels(tmp_path / "x.qrels", known) == qrels.to_mapping()
    back = read_run(tmp_path / "x.trec", known)
    again = Run.from_mapping(back, qrels.queries, qrels.documents)
    assert again.ranked.tolist() == run.ranked.tolist()
    values = list(back["q 1"].values())
    assert values == sorted(set(values), reverse=True)


def test_other_tools_read_the_same(tmp_path):
    qrels = Qrels.from_mapping({"q": {"m": 1}}, ["b", "m", "z"])
    run = Run.from_mapping({"q": {"z": 1.0, "m": 1.0, "b": 1.0}}, qrels.queries, qrels.documents)
    write_qrels(tmp_path / "x.qrels", qrels)
    write_run(tmp_path / "x.trec", run, "tag")
    value = ir_measures.calc_aggregate(
        [ir_measures.parse_measure("RR@10")],
        list(ir_measures.read_trec_qrels(str(tmp_path / "x.qrels"))),
        list(ir_measures.read_trec_run(str(tmp_path / "x.trec"))),
    )
    assert list(value.values()) == [0.5]


@pytest.mark.parametrize("line", ["q 0 d", "q 0 d x y", "q 0 d one"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "bad.qrels"
    path.write_text(f"q 0 a 1\n{line}\n")
    with pytest.raises(EvaluationError, match="line 2"):
        read_qrels(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_run(tmp_path / "none.trec")


def test_ids_are_never_decoded(tmp_path):
    path = tmp_path / "x.qrels"
    path.write_text("q%41 0 d%20e 1\nq%41 0 dA 0\n")
    assert read_qrels(path) == {"q%41": {"d%20e": 1, "dA": 0}}
    assert read_qrels(path, ["d e"]) == {"q%41": {"d e": 1, "dA": 0}}
    assert read_qrels(path, ["d e", "d%20e"]) == {"q%41": {"d%20e": 1, "dA": 0}}


@pytest.mark.parametrize("grade", ["1.5", "nan", "inf", "1e99", "x"])
def test_grades_that_are_not_whole_numbers_are_refused(tmp_path, grade):
    path = tmp_path / "x.qrels"
    path.write_text(f"q 0 a 1.0\nq 0 b {grade}\n")
    with pytest.raises(EvaluationError, match="line 2"):
        read_qrels(path)


def test_a_run_that_ranks_a_document_twice(tmp_path):
    path = tmp_path / "x.trec"
    path.write_text("q Q0 a 1 2.0 t\nq Q0 a 2 1.0 t\n")
    with pytest.raises(EvaluationError, match=r"line 2.*ranked twice"):
        read_run(path)
