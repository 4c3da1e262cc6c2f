from __future__ import annotations

import json
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from encoders.base.storage import sha256_file
from eval.collection.runs import EvaluationError
from eval.report.report import write_report


@pytest.fixture(scope="module")
def report(evaluation, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report"
    write_report(evaluation, out)
    return out


def test_the_folder_is_complete(report):
    assert {path.name for path in report.iterdir()} == {
        "metrics.json",
        "per_query.parquet",
        "plots",
        "report.html",
        "report.md",
        "runs",
        "tables",
    }
    assert {path.stem for path in (report / "plots").iterdir()} == {
        "intervals",
        "loss",
        "overlap-random",
        "overlap-stop-words",
        "scores",
        "similarity",
        "validation_mrr10",
        "weight",
    }


def test_metrics_json_is_what_the_evaluation_tells(report, evaluation):
    content = json.loads((report / "metrics.json").read_text())
    hashes = content["provenance"].pop("sha256")
    assert content == json.loads(json.dumps(evaluation.metrics()))
    for name, expected in hashes.items():
        assert sha256_file(report / "runs" / name) == expected
    assert content["provenance"]["command"] == "rocosearch eval ..."


def test_every_query_is_kept(report, evaluation):
    table = pq.read_table(report / "per_query.parquet").to_pandas()
    for result in evaluation.tasks:
        for profile, found in result.estimates.items():
            part = table[(table.protocol == result.task.protocol) & (table.profile == profile)]
            assert len(part) == len(result.task.topics)
            assert part["RR@10"].mean() == pytest.approx(found["RR@10"].value)
            rank = part["first_rank"].dropna()
            assert (1 / rank[rank <= 10]).sum() == pytest.approx(part["RR@10"].sum())


def test_the_page_asks_for_nothing(report):
    page = (report / "report.html").read_text()
    sources = re.findall(r"(?:src|href)=[\"']([^\"']*)", page)
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert "default-src 'none'" in page
    assert "data:image/jpeg" in page


def test_the_markdown_has_every_figure(report, evaluation):
    text = (report / "report.md").read_text()
    for result in evaluation.tasks:
        without = ", without leaked" if result.shown is result.clean else ""
        for profile, found in result.shown.estimates.items():
            assert f"| {result.task.protocol}{without} | {profile} |" in text
            assert f"{found['RR@10'].value:.3f} ({found['RR@10'].low:.3f}" in text


def test_captions_cannot_break_out_of_the_page(evaluation, tmp_path):
    nasty = "</script><img src=x onerror=alert(1)>"
    pool = replace(evaluation.pool, captions=(nasty,) * len(evaluation.pool))
    write_report(replace(evaluation, pool=pool), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert nasty not in page
    assert page.count("</script>") == 2


def test_a_folder_that_is_no_report_is_kept(evaluation, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="is not a report"):
        write_report(evaluation, tmp_path)
    assert (tmp_path / "notes.txt").exists()
