"""Judgements that are incomplete, runs of other systems, several seeds, a verdict that stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.collection.clusters import Clusters
from eval.collection.runs import EvaluationError, Qrels, Run
from eval.collection.trec import write_run
from eval.leakage.leakage import Leakage
from eval.measure.incomplete_judgements import (
    condensed,
    judged_figures,
    read_pool,
    with_judgements,
    write_pool,
)
from eval.measure.metrics import parse_metrics
from eval.measure.results import judge
from eval.measure.seeds import over_seeds
from eval.protocols.tasks import Task, Topic
from eval.report.evaluation import Evaluation
from eval.report.summary import summary
from eval.search.other_runs import read_other_runs
from tests.eval.conftest import make_pool

METRICS = parse_metrics(["RR@10"])


def task(judged, documents):
    qrels = Qrels.from_mapping(judged, documents)
    topics = tuple(Topic(name, f"text of {name}") for name in judged)
    return Task("own-topics", "asked", topics, qrels)


def judged_result(asked, runs, leakage=None, clusters=None):
    count = len(asked.topics)
    made = {
        name: Run.from_mapping(scored, asked.qrels.queries, asked.qrels.documents)
        for name, scored in runs.items()
    }
    return judge(
        asked,
        made,
        METRICS,
        leakage=leakage or Leakage(("",) * count),
        clusters=clusters or Clusters.connect([[]] * count),
    )


def test_condensed_lists_leave_out_what_nobody_judged():
    asked = task({"q": {"b": 0, "c": 1}}, ["a", "b", "c"])
    result = judged_result(asked, {"lexical": {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}})
    short = condensed(result.runs["lexical"], asked.qrels)
    assert short.names(0) == ["b", "c"]
    (found,) = judged_figures(result).values()
    assert found.share == pytest.approx(2 / 3)
    assert found.condensed == pytest.approx(1 / 2)
    assert result.estimates["lexical"]["RR@10"].value == pytest.approx(1 / 3)


def test_the_pool_is_written_judged_and_read_back(tmp_path):
    pool = make_pool([("lung\tct", "", []), ("brain", "", []), ("knee", "", [])])
    asked = task({"q": {"d01": 1}}, pool.ids)
    runs = {"lexical": {"q": {"d00": 2.0, "d01": 1.0}}, "vector": {"q": {"d02": 1.0}}}
    path = tmp_path / "pool.tsv"
    assert write_pool(path, [judged_result(asked, runs)], pool, 10) == 2
    with pytest.raises(EvaluationError, match="has no judgement"):
        read_pool(path)
    lines = path.read_text().splitlines()
    assert lines[1] == "own-topics\tq\td00\t\ttext of q\tlung ct"
    path.write_text("\n".join([lines[0], lines[1].replace("\t\t", "\t2\t"), lines[2]]))
    grades = read_pool(path)
    assert grades == {"own-topics": {"q": {"d00": 2}}}
    more = with_judgements(asked, grades["own-topics"])
    assert more.qrels.to_mapping() == {"q": {"d01": 1, "d00": 2}}
    with pytest.raises(EvaluationError, match="not one of its queries or documents"):
        with_judgements(asked, {"q": {"elsewhere": 1}})
    path.write_text("own-topics\tq\td00\t1.5\tx\ty\n")
    with pytest.raises(EvaluationError, match="line 1"):
        read_pool(path)


def test_runs_of_other_systems_stand_beside_ours(tmp_path):
    asked = task({"q1": {"d 1": 1}, "q2": {"d2": 1}}, ["d 1", "d2", "d3"])
    asked = replace(asked, topics=(replace(asked.topics[0], excluded=(2,)), asked.topics[1]))
    run = Run.from_mapping(
        {"q1": {"d3": 2.0, "d 1": 1.0}}, asked.qrels.queries, asked.qrels.documents
    )
    write_run(tmp_path / "own-topics.theirs.trec", run, "theirs")
    found = read_other_runs([tmp_path / "own-topics.theirs.trec"], [asked], 100, ["lexical"])
    (other,) = found["own-topics"]
    assert other.name == "theirs"
    assert other.run.names(0) == ["d 1"]  # the excluded document is taken out
    assert len(other.notes) == 2  # one query unanswered, one document taken out
    for text, message in (
        ("x Q0 d2 1 1.0 t", "answers no query"),
        ("q1 Q0 far 1 1.0 t", "not among the 3 searched"),
    ):
        (tmp_path / "bad.trec").write_text(text + "\n")
        with pytest.raises(EvaluationError, match=message):
            read_other_runs([tmp_path / "bad.trec"], [asked], 100, [])
    two = [asked, replace(asked, protocol="caption")]
    with pytest.raises(EvaluationError, match="names no protocol"):
        read_other_runs([tmp_path / "bad.trec"], two, 100, [])


def values_of(rng, shift):
    return {f"q{n:03d}": {"x": 1.0} if rng.random() < shift else {"y": 1.0} for n in range(200)}


OURS = (("lexical", 0.3), ("vector", 0.6), ("hybrid", 0.65))


def made_up_result(extra=(), leakage=None, ours=OURS):
    rng = np.random.default_rng(0)
    asked = task({f"q{n:03d}": {"x": 1} for n in range(200)}, ["x", "y", *map(str, range(500))])
    runs = {name: values_of(rng, share) for name, share in (*ours, *extra)}
    return judged_result(asked, runs, leakage)


def sentences(result):
    pool = make_pool([("x", "", []), ("y", "", [])])
    return summary(Evaluation(None, pool, [result], [], [], {}))


def test_the_verdict_does_not_change_when_a_profile_is_added():
    alone = made_up_result()
    more = made_up_result([("mine", 0.99), ("other", 0.01), ("rank-bm25 defaults", 0.7)])
    told = [sentence for sentence in sentences(more) if not sentence.startswith("The baseline")]
    assert sentences(alone)[:4] == told[:4]
    first = {(c.first, c.second): c for c in alone.comparisons}
    for found in more.comparisons:
        if found.family == "declared":
            assert found == first[found.first, found.second]
    assert any("rank-bm25 defaults is not shown to be worse" in s for s in sentences(more))


def test_the_decision_says_no_more_than_the_tests():
    told = sentences(made_up_result())
    assert told[0] == (
        "Use hybrid or vector ranking: hybrid leads, is better than lexical, and is not shown to "
        "be better than vector."
    )


def test_a_baseline_is_not_the_ranking_to_use():
    """Of an index without vectors lexical ranking alone is evaluated, beside the baseline."""
    told = sentences(made_up_result([("rank-bm25 defaults", 0.9)], ours=OURS[:1]))
    assert told[0] == "lexical ranking alone was evaluated."
    assert told[1].startswith("The baseline rank-bm25 defaults is better than lexical by 0.")


def test_figures_are_leaky_by_their_effect():
    clean = made_up_result(leakage=Leakage(("in-training",) + ("",) * 199))
    assert not clean.leaky  # one query of 200 changes nothing
    many = made_up_result(leakage=Leakage(("in-training",) * 100 + ("",) * 100))
    assert many.leaky
    assert many.sound
    assert many.shown.queries == 100
    every = made_up_result(leakage=Leakage(("exact",) * 200))
    assert every.leaky
    assert not every.sound
    assert "cannot tell which ranking to use" in sentences(every)[0]
    told = made_up_result(leakage=Leakage(("like-training",) * 200))
    assert not told.leaky  # what only looks alike proves nothing


def test_several_seeds_have_a_mean_and_a_spread():
    results = []
    for share in (0.2, 0.4, 0.6):
        rng = np.random.default_rng(int(10 * share))
        asked = task({f"q{n:03d}": {"x": 1} for n in range(200)}, ["x", "y", *map(str, range(500))])
        results.append([judged_result(asked, {"vector": values_of(rng, share)})])
    (found,) = over_seeds(results)
    means = [r[0].estimates["vector"]["RR@10"].value for r in results]
    assert found.mean == pytest.approx(np.mean(means))
    assert found.spread == pytest.approx(np.std(means, ddof=1))
    assert found.share > 0.8  # these seeds differ by far more than queries do
    (same,) = over_seeds([results[0], results[0], results[0]])
    assert same.share == 0.0
    assert same.spread == 0.0
