from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from eval.collection.runs import EvaluationError, Qrels, Run, gains, strictly_decreasing
from eval.measure.chance import chance
from eval.measure.metrics import default_metrics, measure, parse_metrics

NAMES = ["RR@1", "RR@10", "Success@5", "nDCG@10", "nDCG@100", "R@100", "AP@100", "AP@7", "P@5"]


def random_run(seed: int, queries: int = 40, documents: int = 300, depth: int = 120):
    rng = np.random.default_rng(seed)
    judged = {
        f"q{q}": {
            f"d{d}": int(rng.integers(0, 4))
            for d in rng.choice(documents, size=int(rng.integers(1, 60)), replace=False)
        }
        for q in range(queries)
    }
    scored = {}
    for q in range(queries - 3):  # the last three go unanswered
        ranked = rng.choice(documents, size=int(rng.integers(0, depth)), replace=False)
        scores = np.sort(rng.random(len(ranked)))[::-1].round(2)[None]
        if len(ranked):
            scores = strictly_decreasing(scores)
        scored[f"q{q}"] = {f"d{d}": float(s) for d, s in zip(ranked, scores[0], strict=True)}
    return judged, scored


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_ir_measures(seed):
    judged, scored = random_run(seed)
    qrels = Qrels.from_mapping(judged, [f"d{d}" for d in range(300)])
    run = Run.from_mapping(scored, qrels.queries, qrels.documents)
    ours = measure(run, qrels, parse_metrics(NAMES))
    parsed = [ir_measures.parse_measure(name) for name in NAMES]
    theirs = {
        (str(m.measure), m.query_id): m.value for m in ir_measures.iter_calc(parsed, judged, scored)
    }
    for name in NAMES:
        for row, query in enumerate(qrels.queries):
            assert ours[name][row] == pytest.approx(theirs.get((name, query), 0.0), abs=1e-9), name


def test_unanswered_queries_count_zero():
    qrels = Qrels.from_mapping({"a": {"x": 1}, "b": {"y": 1}})
    run = Run.from_mapping({"a": {"x": 3.0}}, qrels.queries, qrels.documents)
    values = measure(run, qrels, default_metrics())
    assert values.pop("P@10").tolist() == [0.1, 0.0]
    assert all(value.tolist() == [1.0, 0.0] for value in values.values())


def test_a_run_without_any_answer():
    qrels = Qrels.from_mapping({"a": {"x": 1}})
    run = Run.from_mapping({}, qrels.queries, qrels.documents)
    assert all(v.tolist() == [0.0] for v in measure(run, qrels, parse_metrics(NAMES)).values())


def test_the_ideal_is_taken_from_all_judged():
    qrels = Qrels.from_mapping({"a": {"x": 1, "y": 3, "z": 2}})
    run = Run.from_mapping({"a": {"x": 1.0}}, qrels.queries, qrels.documents)
    ideal = 3 / np.log2(2) + 2 / np.log2(3) + 1 / np.log2(4)
    assert measure(run, qrels, parse_metrics(["nDCG@10"]))["nDCG@10"][0] == pytest.approx(1 / ideal)


def test_ties_go_by_ascending_id():
    qrels = Qrels.from_mapping({"a": {"m": 1}}, ["b", "m", "z"])
    run = Run.from_mapping({"a": {"z": 1.0, "m": 1.0, "b": 1.0}}, qrels.queries, qrels.documents)
    assert run.names(0) == ["b", "m", "z"]
    assert gains(run, qrels).tolist() == [[0, 1, 0]]


def test_every_wrong_name_is_told_at_once():
    with pytest.raises(EvaluationError, match=r"'MRR', 'nDCG@0', 'Hits@5'"):
        parse_metrics(["MRR", "RR@10", "nDCG@0", "Hits@5"])


def test_a_document_from_outside_the_pool_is_an_error():
    with pytest.raises(EvaluationError, match="not in the searched pool"):
        Run.from_lists(("a",), ("x",), [["y"]], [[1.0]])


def test_junk_grades_count_as_not_relevant():
    qrels = Qrels.from_mapping({"a": {"x": -2, "y": 1}})
    assert qrels.relevant.tolist() == [1]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_strictly_decreasing_keeps_the_order(seed):
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.choice([0.0, 1e-9, 0.5, 0.5 + 1e-12, 7.0, -3.0], size=(4, 30)))
    changed = strictly_decreasing(scores)
    assert (np.diff(changed) < 0).all()
    np.testing.assert_allclose(changed, scores, rtol=1e-5, atol=1e-6)


def test_chance_is_the_mean_over_all_orders():
    rng = np.random.default_rng(3)
    documents = tuple(f"d{d}" for d in range(14))
    qrels = Qrels.from_mapping({"a": {"d1": 1}, "b": {"d2": 3, "d5": 1, "d9": 2}}, documents)
    metrics = parse_metrics(["RR@10", "Success@3", "nDCG@10", "R@5", "AP@6", "P@4"])
    expected = chance(qrels, np.array([14, 14]), metrics)
    trials = 4000
    orders = np.stack([rng.permutation(14) for _ in range(2 * trials)]).astype(np.int32)
    queries = tuple(str(i) for i in range(2 * trials))
    repeated = Qrels(queries, documents, qrels.grades[np.arange(2 * trials) % 2])
    seen = measure(Run(queries, documents, orders, np.zeros(orders.shape)), repeated, metrics)
    for name, values in seen.items():
        assert expected[name] == pytest.approx(values.mean(), abs=0.02), name


def test_chance_of_a_pool_smaller_than_the_cutoff():
    qrels = Qrels.from_mapping({"a": {"d1": 1}}, ["d0", "d1", "d2"])
    values = chance(qrels, np.array([3]), parse_metrics(["RR@10", "Success@10", "R@100"]))
    assert values["RR@10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert values["Success@10"] == pytest.approx(1.0)
    assert values["R@100"] == 1.0


def test_measures_cut_at_the_number_of_relevant_documents():
    """By hand: 3 relevant, of which ranks 1 and 3 are found within R and rank 5 is beyond."""
    qrels = Qrels.from_mapping({"q": {"a": 1, "b": 1, "c": 2}})
    documents = ["a", "x", "b", "y", "c"]
    run = Run.from_mapping(
        {"q": {name: 5.0 - rank for rank, name in enumerate(documents)}},
        ("q",),
        (*qrels.documents, "x", "y"),
    )
    qrels = Qrels.from_mapping(qrels.to_mapping(), run.documents)
    values = measure(run, qrels, parse_metrics(["Rprec", "AP@R"]))
    assert values["Rprec"].tolist() == [pytest.approx(2 / 3)]
    assert values["AP@R"].tolist() == [pytest.approx((1 + 2 / 3) / 3)]


@pytest.mark.parametrize("name", ["RR", "Rprec@5", "RR@R", "nDCG@0", "MRR@10"])
def test_measures_that_there_are_not(name):
    with pytest.raises(EvaluationError, match="Not a metric"):
        parse_metrics([name])
