from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from eval.collection.clusters import Clusters
from eval.collection.pool import load_pool
from eval.collection.runs import EvaluationError
from eval.evaluate import Options, evaluate
from eval.measure.significance import compare_profiles
from eval.protocols import build_tasks
from eval.search.answer import PoolSearcher
from eval.search.targets import EmbeddedTarget
from eval.tuning.candidates import Candidates, collect_candidates
from eval.tuning.logistic import fit_logistic
from eval.tuning.tuning import TuningOptions, _fit, tune
from eval.tuning.tuning_result import TUNED_ON, Guarded, tuned_split
from ranking.engine.engine import EmbeddedEngine
from ranking.expressions.expression import parse
from ranking.profiles.shipped import SHIPPED, load_profiles, save_profiles

OPTIONS = TuningOptions(protocol="same-case", split="test", folds=3)


@pytest.fixture(scope="module")
def tuning(engine, encoder, phantoms):
    return tune(engine, encoder, phantoms, OPTIONS)


def test_logistic_regression_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 3))
    odds = features @ [1.5, -2.0, 0.3] - 1
    positive = rng.random(400) < 1 / (1 + np.exp(-odds))
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(features, positive)
    expected = [theirs.intercept_[0], *theirs.coef_[0]]
    assert fit_logistic(features, positive) == pytest.approx(expected, abs=1e-4)


def test_separable_classes_do_not_run_away():
    features = np.arange(20.0)[:, None]
    assert np.isfinite(fit_logistic(features, features[:, 0] > 9)).all()


def test_reciprocal_ranks_by_hand():
    found = Candidates(
        queries=3,
        owner=np.array([0, 0, 0, 2, 2]),
        documents=np.array([1, 2, 3, 1, 2]),
        relevant=np.array([False, False, True, True, False]),
        features={"x": np.array([1.0, 3.0, 2.0, 1.0, 1.0])},
    )
    scores = found.scores(parse("x * query(w)"), {"w": 2.0})
    assert scores.tolist() == [2.0, 6.0, 4.0, 2.0, 2.0]
    assert found.reciprocal_ranks(scores).tolist() == [0.5, 0.0, 1.0]  # ties by ascending id


def test_candidates_evaluated_again_rank_as_a_search_does(engine, encoder, phantoms):
    ids = list(engine.ids())
    pool = load_pool(phantoms, ids, ids)
    (task, *_), _ = build_tasks(pool, ["same-case"])
    searcher = PoolSearcher(EmbeddedTarget(engine), pool, encoder)
    profile = engine.profiles.resolve("hybrid")
    found = collect_candidates(searcher, task, "hybrid", [{"alpha": 0.5}])
    expression = parse(profile.first_phase, profile.functions)
    for alpha in (0.3, 0.5, 0.8):
        inputs = {**profile.inputs, "alpha": alpha}
        ours = found.reciprocal_ranks(found.scores(expression, inputs))
        results = searcher.search(task, "hybrid", 10, {"alpha": alpha})
        relevant = [set(row) for row in task.qrels.to_mapping().values()]
        for value, result, wanted in zip(ours, results, relevant, strict=True):
            rank = next((r for r, name in enumerate(result.ids, 1) if name in wanted), None)
            assert value == pytest.approx(1 / rank if rank else 0.0)


def test_an_untrained_encoder_is_told_to_be_of_no_help(tuning):
    assert tuning.better_single == "lexical"
    assert tuning.winners == []
    assert "No blend beats lexical by more than noise" in tuning.verdict()
    assert "--profile lexical" in tuning.advice()


def test_every_tuned_blend_is_compared(tuning):
    figures = {name: found.value for name, found in tuning.estimates.items()}
    for found in tuning.comparisons:
        assert found.second == "lexical"
        ahead = figures[f"tuned {found.first}"] - figures["lexical"]
        assert found.difference == pytest.approx(ahead)
    assert [found.first for found in tuning.comparisons] == ["hybrid", "learned"]


def test_the_blend_that_wins_is_named_whichever_it_is(tuning):
    single = np.tile([0.0, 0.5], 30)
    values = {"hybrid": single, "learned": single + 0.2, "lexical": single}
    pairs = [("hybrid", "lexical"), ("learned", "lexical")]
    alone = Clusters.connect([[]] * 60)
    found = replace(tuning, comparisons=compare_profiles(values, "RR@10", alone, pairs=pairs))
    assert found.winners == ["learned"]
    assert "tuned hybrid gives the same figure; tuned learned +0.200" in found.verdict()
    assert found.verdict().endswith("It is beaten by tuned learned.")
    assert "--profile learned" in found.advice()
    hybrid, learned = found.comparisons
    assert (hybrid.p_holm, learned.p_holm) == (1.0, pytest.approx(2 * learned.p))


def test_shipped_values_are_kept_where_nothing_beats_them(tuning, engine):
    shipped = engine.profiles.resolve("hybrid").inputs
    gain = tuning.gains["hybrid"]
    assert gain.beats == (gain.difference > gain.spread and gain.comparison.p_holm < 0.05)
    if gain.beats:
        assert tuning.chosen["hybrid"] != shipped
        assert "gets new values" in tuning.verdict()
    else:
        assert tuning.chosen["hybrid"] == shipped
        assert "hybrid keeps its shipped values" in tuning.verdict()
    assert {each.profile for each in tuning.guarded} == {
        n for n, g in tuning.gains.items() if g.beats
    }


def test_a_gain_that_is_mere_spread_is_none(tuning):
    noise = replace(tuning.gains["hybrid"], difference=0.01, spread=0.02)
    assert not noise.beats
    lost = Guarded("caption", "hybrid", 0.9, 0.8, 0.001)
    assert lost.lost
    assert replace(tuning, guarded=[lost]).losses == [lost]
    assert "falls from 0.900 to 0.800" in lost.told()


def test_evidence_never_counts_against_a_document():
    """A column that relevant documents have less of would be fitted a negative weight."""
    rng = np.random.default_rng(0)
    relevant = np.arange(400) % 2 == 0
    table = np.column_stack(
        [rng.normal(relevant), rng.normal(-1.0 * relevant), np.zeros(400), np.zeros(400)]
    )
    assert fit_logistic(table[:, :2], relevant)[2] < 0
    profile = SHIPPED.resolve("learned")
    fitted = _fit(profile, table, relevant, 10.0)
    assert fitted["weight_vector"] == 0.0
    alone = fit_logistic(table[:, :1], relevant).round(4)
    assert fitted["weight_lexical"] == alone[1]


def test_tuned_profiles_are_written_and_used(tuning, engine, encoder, phantoms, tmp_path):
    path = tmp_path / "tuned.toml"
    save_profiles(tuning.profiles, path)
    profiles = load_profiles(path)
    for name, gain in tuning.gains.items():
        written = profiles.resolve(name)
        assert written.inputs == tuning.chosen[name]
        assert ("tuned on" in written.description) == gain.beats
        assert ("cross-validated" in written.description) == gain.beats


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TuningOptions(split="train"), "the encoder was trained on it"),
        (TuningOptions(split="dev"), "no split 'dev'"),
        (TuningOptions(protocol="hidden-caption"), "cannot be tuned on"),
        (TuningOptions(protocol="same-article"), "no article"),
        (TuningOptions(folds=200), "too few for 200 folds"),
    ],
)
def test_what_cannot_be_tuned_on(engine, encoder, phantoms, options, message):
    with pytest.raises(EvaluationError, match=message):
        tune(engine, encoder, phantoms, options)


def test_without_vectors_there_is_nothing_to_blend(engine, phantoms):
    with pytest.raises(EvaluationError, match="nothing to blend"):
        tune(engine, None, phantoms, OPTIONS)


def test_figures_on_the_tuned_split_are_marked(engine, encoder, phantoms):
    fields = engine.info().vector_fields
    documents = [engine.get(name) for name in engine.ids()]
    hybrid = engine.profiles.by_name["hybrid"]
    origin = f"{hybrid.description} {TUNED_ON}100 queries of the {tuned_split('test', phantoms)}."
    profiles = engine.profiles.replaced([replace(hybrid, description=origin)])
    tuned = EmbeddedEngine.in_memory(documents, fields, profiles)
    options = Options(protocols=("same-case",), profiles=("lexical", "hybrid"))
    notes = evaluate(EmbeddedTarget(tuned), encoder, phantoms, options).metrics()["notes"]
    assert any(note.startswith("hybrid: its weights were tuned on this split") for note in notes)
