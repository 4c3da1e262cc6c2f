"""The whole evaluation, over phantoms and an untrained encoder."""

from __future__ import annotations

from types import SimpleNamespace

import ir_measures
import numpy as np
import pytest

from eval.collection.runs import EvaluationError, Qrels, Run
from eval.collection.trec import read_qrels, read_run
from eval.evaluate import Options, choose_profiles, evaluate
from eval.measure.metrics import parse_metrics
from eval.report.report import write_report
from eval.report.summary import summary
from eval.search.answer import refuse_partial
from eval.search.rank_bm25 import BASELINE
from eval.search.targets import EmbeddedTarget
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Coverage, Result


def rows(evaluation, **wanted):
    found = evaluation.metrics()["rows"]
    return [row for row in found if all(row[k] == v for k, v in wanted.items())]


def value(evaluation, protocol, profile, metric="RR@10"):
    (row,) = rows(evaluation, protocol=protocol, profile=profile, metric=metric)
    return row["value"]


def test_every_protocol_that_phantoms_support(evaluation):
    names = {row["protocol"] for row in rows(evaluation)}
    assert names >= {
        "caption",
        "split-caption",
        "hidden-caption",
        "same-case",
        "concepts",
        "image-to-image",
        "image-to-caption",
        "pairs-full-text-to-image",
    }
    skipped = {part["protocol"]: part["reason"] for part in evaluation.metrics()["skipped"]}
    assert "article" in skipped["same-article"]


def test_rows_have_what_readers_expect(evaluation):
    for row in rows(evaluation):
        assert {"protocol", "profile", "metric", "value", "low", "high", "queries", "leaky"} <= set(
            row
        )
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 <= row["chance"] <= 1
    metrics = {row["metric"] for row in rows(evaluation, protocol="caption")}
    assert metrics >= {"RR@1", "RR@10", "Success@5", "nDCG@10", "R@100"}


def test_profiles_stand_side_by_side(evaluation):
    profiles = [row["profile"] for row in rows(evaluation, protocol="caption", metric="RR@10")]
    assert profiles == ["lexical", "vector", "hybrid_sum", "hybrid", BASELINE]


def test_lexical_ranking_finds_its_own_caption_and_that_is_called_leaky(evaluation):
    assert value(evaluation, "caption", "lexical") > 0.95
    assert all(row["leaky"] for row in rows(evaluation, protocol="caption"))
    # Phantoms repeat captions: what is left without those seen in training is what is shown.
    (split,) = (r for r in evaluation.tasks if r.task.protocol == "split-caption")
    assert split.leaky
    assert split.leakage.counts()["near-training-caption"]
    assert split.sound == (split.clean is not None and split.clean.queries >= 20)
    assert value(evaluation, "split-caption", "lexical") < value(evaluation, "caption", "lexical")


def test_hidden_captions_leave_lexical_ranking_nothing(evaluation):
    assert rows(evaluation, protocol="hidden-caption", profile="lexical") == []
    reasons = [part for part in evaluation.metrics()["skipped"] if part.get("profile") == "lexical"]
    assert any("by construction" in part["reason"] for part in reasons)


def test_an_untrained_encoder_ranks_at_chance(evaluation):
    (row,) = rows(evaluation, protocol="pairs-full-text-to-image", metric="RR@10")
    assert row["low"] - 0.05 < row["chance"] < row["high"] + 0.05


def test_the_pool_is_the_queried_split(evaluation):
    assert {row["pool"] for row in rows(evaluation, protocol="caption")} == {111}
    assert evaluation.metrics()["provenance"]["pool"]["split"] == "test"


def test_figures_on_the_train_split_are_leaky(engine, encoder, phantoms, evaluation):
    options = Options(protocols=("pairs", "split-caption"), profiles=("vector",), split="train")
    found = evaluate(EmbeddedTarget(engine), encoder, phantoms, options)
    assert all(row["leaky"] for row in rows(found))
    assert found.metrics()["training_overlap"]["same_image"] == len(found.pool)
    assert any("were in training" in sentence for sentence in summary(found))
    assert "cannot tell" in summary(found)[0]
    assert not any(row["leaky"] for row in rows(evaluation, protocol="pairs-full-text-to-image"))
    assert not any("were in training" in note for note in evaluation.notes)


def test_everything_indexed_as_pool(engine, encoder, phantoms):
    options = Options(
        protocols=("caption",), profiles=("lexical",), split="validation", scope="all"
    )
    found = evaluate(EmbeddedTarget(engine), encoder, phantoms, options)
    assert {row["pool"] for row in rows(found)} == {600}
    assert {row["queries"] for row in rows(found)} == {44}


def test_without_an_encoder_only_lexical_ranking_is_evaluated(engine, phantoms):
    found = evaluate(
        EmbeddedTarget(engine), None, phantoms, Options(protocols=("caption", "image-to-image"))
    )
    assert {row["profile"] for row in rows(found)} == {"lexical", BASELINE}
    assert found.skipped[0].protocol == "image-to-image"


def test_the_same_seed_gives_the_same_figures(engine, encoder, phantoms, evaluation):
    again = evaluate(EmbeddedTarget(engine), encoder, phantoms, Options(protocols=("same-case",)))
    assert rows(again, profile="hybrid") == rows(evaluation, protocol="same-case", profile="hybrid")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(protocols=("captoin",)), "Not a protocol: 'captoin'"),
        (Options(profiles=("hybird",)), "no profile 'hybird'"),
        (Options(split="holdout"), "no split 'holdout'"),
    ],
)
def test_wrong_names_are_told(engine, encoder, phantoms, options, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(EmbeddedTarget(engine), encoder, phantoms, options)


def test_an_index_of_another_corpus(phantoms):
    with pytest.raises(EvaluationError, match="None of the corpus's documents"):
        evaluate(EmbeddedTarget(EmbeddedEngine.in_memory([])), None, phantoms)


def test_an_index_of_another_encoder(phantoms, encoder):
    with pytest.raises(EvaluationError, match="no vectors of this encoder"):
        evaluate(EmbeddedTarget(EmbeddedEngine.in_memory([])), encoder, phantoms)


def test_partial_answers_are_refused(evaluation):
    task = evaluation.tasks[0].task
    partial = Result((), np.zeros(0), coverage=Coverage(40.0, 24, ("timeout",)))
    with pytest.raises(EvaluationError, match=r"111 of 111 answers .* partial .*timeout"):
        refuse_partial([partial] * len(task.topics), task)


def test_written_runs_give_the_same_figures_in_ir_measures(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    runs = tmp_path / "report" / "runs"
    names = ["RR@10", "Success@5", "nDCG@10", "R@100", "AP@100"]
    for protocol, profile in (("same-case", "hybrid"), ("concepts", "lexical")):
        found = ir_measures.calc_aggregate(
            [ir_measures.parse_measure(name) for name in names],
            ir_measures.read_trec_qrels(str(runs / f"{protocol}.qrels")),
            ir_measures.read_trec_run(str(runs / f"{protocol}.{profile}.trec")),
        )
        for measure, theirs in found.items():
            ours = value(evaluation, protocol, profile, str(measure))
            assert ours == pytest.approx(theirs, abs=1e-9)


def test_written_runs_read_back(evaluation, tmp_path):
    write_report(evaluation, tmp_path / "report")
    result = next(r for r in evaluation.tasks if r.task.protocol == "same-case")
    folder = tmp_path / "report" / "runs"
    qrels = Qrels.from_mapping(read_qrels(folder / "same-case.qrels"), result.task.qrels.documents)
    run = Run.from_mapping(
        read_run(folder / "same-case.hybrid.trec"), qrels.queries, qrels.documents
    )
    assert np.array_equal(run.ranked, result.runs["hybrid"].ranked)
    assert parse_metrics(["RR@10"])


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("lexical", "hybrid", "learned"), ("lexical", "hybrid")),
        (("balanced", "two_steps"), ("balanced", "two_steps")),
    ],
)
def test_profiles_of_ones_own_are_evaluated_where_there_are_no_others(there, chosen):
    engine = SimpleNamespace(info=lambda: SimpleNamespace(profiles=there))
    searcher = SimpleNamespace(supports=lambda name: True)
    target = SimpleNamespace(engine=engine)
    assert choose_profiles(target, searcher, ()) == chosen
