from __future__ import annotations

import ir_measures
import pytest

from eval.search.runs import EvaluationError, Qrels, Run
from eval.search.trec import read_qrels, read_run, write_qrels, write_run


def test_round_trip(tmp_path):
    qrels = Qrels.from_mapping({"q 1": {"a b": 2, "100%": 1}, "q2": {"c": 1}})
    scored = {"q 1": {"c": 1.0, "a b": 1.0, "100%": 0.5}, "q2": {}}
    run = Run.from_mapping(scored, qrels.queries, qrels.documents)
    write_qrels(tmp_path / "x.qrels", qrels)
    write_run(tmp_path / "x.trec", run, "my profile")
    assert read_qrels(tmp_path / "x.qrels") == qrels.to_mapping()
    back = read_run(tmp_path / "x.trec")
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
