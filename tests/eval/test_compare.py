from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from eval.collection.runs import EvaluationError
from eval.comparison.compare import Changes, compare_reports
from eval.report.report import METRICS, PER_QUERY, write_report
from rocosearch.cli import app


@pytest.fixture(scope="module")
def report(evaluation, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "report"
    write_report(evaluation, out)
    return out


def changed(report, out, change):
    table = pd.read_parquet(report / PER_QUERY)
    out.mkdir()
    change(table).to_parquet(out / PER_QUERY)
    shutil.copy(report / METRICS, out)
    return out


def test_a_report_does_not_differ_from_itself(report):
    changes = compare_reports(report, report, ("RR@10", "nDCG@10"))
    assert changes.passed
    assert changes.verdict().startswith("Nothing fell by more than noise: 0 of ")
    assert all(row.p_holm == 1.0 and row.difference == 0 for row in changes.rows)
    assert {row.metric for row in changes.rows} == {"RR@10", "nDCG@10"}


def test_a_fall_closes_the_gate(report, tmp_path):
    def spoil(table):
        worse = (table.protocol == "caption") & (table.profile == "hybrid")
        table.loc[worse, "RR@10"] *= 0.5
        return table

    changes = compare_reports(report, changed(report, tmp_path / "b", spoil))
    fallen = [(row.protocol, row.profile) for row in changes.rows if row.fell]
    assert fallen == [("caption", "hybrid")]
    assert not changes.passed
    assert changes.metrics()["passed"] is False
    assert changes.verdict().startswith("Fell by more than noise: hybrid on caption (RR@10 ")
    assert [row.profile for row in changes.changed] == ["hybrid"]


def test_a_rise_does_not(report, tmp_path):
    def better(table):
        table["RR@10"] = 1.0
        return table

    assert compare_reports(report, changed(report, tmp_path / "b", better)).passed


def test_queries_of_one_report_only_are_counted(report, tmp_path):
    def fewer(table):
        first = table[table.protocol == "caption"]["query"].iloc[0]
        return table[~((table.protocol == "caption") & (table["query"] == first))]

    changes = compare_reports(report, changed(report, tmp_path / "b", fewer))
    assert {row.only_first for row in changes.rows if row.protocol == "caption"} == {1}
    assert {row.only_first for row in changes.rows if row.protocol != "caption"} == {0}
    assert not changes.passed
    assert "Queries are missing in the second report" in changes.verdict()


def test_profiles_of_one_report_only_are_named(report, tmp_path):
    changes = compare_reports(
        report, changed(report, tmp_path / "b", lambda t: t[t.profile != "vector"])
    )
    assert "vector on caption" in changes.missing
    assert not changes.passed  # a ranking that is gone closes the gate
    assert "Missing in the second report: vector on caption" in changes.verdict()
    back = compare_reports(
        changed(report, tmp_path / "c", lambda t: t[t.profile != "vector"]), report
    )
    assert back.passed
    assert "vector on caption" in back.added


def test_what_is_no_report(report, tmp_path):
    with pytest.raises(EvaluationError, match="is not a report"):
        compare_reports(report, tmp_path)
    with pytest.raises(EvaluationError, match="does not have 'RR@99'"):
        compare_reports(report, report, ("RR@99",))


@pytest.mark.parametrize(
    ("part", "name", "other", "told"),
    [
        ("pool", "split", "validation", r"the split of the queries \(test, validation\)"),
        ("pool", "scope", "all", r"the pool \(--pool\) \(split, all\)"),
        ("pool", "documents", 600, r"the number of searched documents \(111, 600\)"),
        ("corpus", "content_sha256", "f00", r"the corpus .*, f00\)"),
    ],
)
def test_figures_of_another_pool_are_not_compared(report, tmp_path, part, name, other, told):
    elsewhere = changed(report, tmp_path / "b", lambda table: table)
    content = json.loads((elsewhere / METRICS).read_text())
    content["provenance"][part][name] = other
    (elsewhere / METRICS).write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=f"cannot be compared, because they differ in {told}"):
        compare_reports(report, elsewhere)


def test_a_report_that_does_not_tell_its_pool_is_refused(report, tmp_path):
    silent = changed(report, tmp_path / "b", lambda table: table)
    (silent / METRICS).write_text("{}")
    with pytest.raises(EvaluationError, match="is not a comparable report"):
        compare_reports(report, silent)


def test_the_command_is_a_gate(report, tmp_path):
    def spoil(table):
        table.loc[table.profile == "lexical", "RR@10"] = 0.0
        return table

    worse = changed(report, tmp_path / "b", spoil)
    for first, second, code in ((report, worse, 1), (worse, report, 0), (report, report, 0)):
        done = CliRunner().invoke(app, ["compare", str(first), str(second)])
        assert done.exit_code == code, done.output
        assert ("Fell by more than noise: lexical on" in done.stderr) == bool(code)


def test_what_only_one_report_has_is_told_by_protocol():
    changes = Changes(
        rows=(), missing=("bm25 on caption", "rrf on caption"), added=("rrf on concepts",)
    )
    assert changes.missing_lines() == [
        "missing in the second, caption: bm25, rrf",
        "only in the second, concepts: rrf",
    ]


def test_a_metric_that_is_gone_closes_the_gate(report, tmp_path):
    gone = changed(report, tmp_path / "b", lambda t: t.drop(columns=["nDCG@10"]))
    changes = compare_reports(report, gone, ("RR@10", "nDCG@10"))
    assert changes.missing == ["nDCG@10"]
    assert not changes.passed


def test_other_topics_are_refused(report, tmp_path):
    other = changed(report, tmp_path / "b", lambda table: table)
    content = json.loads((other / METRICS).read_text())
    content["provenance"]["sha256"]["caption.qrels"] = "0"
    (other / METRICS).write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match="differ in the judgements of caption"):
        compare_reports(report, other)


def test_figures_that_did_not_change_are_no_comparison(report, tmp_path):
    def worse(table):
        rows = (table.protocol == "caption") & (table.profile == "hybrid")
        table.loc[rows, "RR@10"] *= 0.97
        return table

    changes = compare_reports(report, changed(report, tmp_path / "b", worse))
    (row,) = changes.changed
    assert row.p_holm == row.p
    assert row.low_adjusted >= row.low  # one sided, alone in its family


def test_a_margin_asks_for_what_the_data_can_tell(report, tmp_path):
    def blurred(table):
        rows = (table.protocol == "caption") & (table.profile == "vector")
        values = table.loc[rows, "RR@10"].to_numpy()
        table.loc[rows, "RR@10"] = np.random.default_rng(0).permutation(values)  # the same mean
        return table

    other = changed(report, tmp_path / "b", blurred)
    wide = compare_reports(report, other, margin=0.5)
    narrow = compare_reports(report, other, margin=0.0001)
    assert wide.passed
    assert not narrow.passed
    assert "The data cannot show that vector on caption" in narrow.verdict()
    assert compare_reports(report, report, margin=0.0001).passed
