"""Blend weights found on a development split, and written back as profile defaults.

Every figure is cross-validated: the weights that answer a query were chosen without it, nor
any query of its case or article. Every tuned blend is compared with the better single ranking,
and one that does not beat it by more than noise is told as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from encoders.inference.dual_encoder import DualEncoder
from eval.leakage.staleness import refuse_stale
from eval.leakage.training_overlap import TRAIN
from eval.measure.metrics import HEADLINE
from eval.measure.results import topic_clusters
from eval.measure.significance import RESAMPLES, compare_profiles
from eval.protocols import build_tasks, expand
from eval.protocols.tasks import Skipped, Task
from eval.search.answer import PoolSearcher, vector_field
from eval.search.pool import load_pool
from eval.search.runs import EvaluationError
from eval.tuning.candidates import Candidates, collect_candidates
from eval.tuning.curve import ALPHAS, CORNERS, column_estimates, expression_of
from eval.tuning.logistic import fit_logistic
from eval.tuning.outcome import TUNED_ON, Inputs, Tuning, TuningOptions, tuned_split
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import Profile, ProfileSet

__all__ = ["Tuning", "TuningOptions", "tune"]

Values = NDArray[np.float64]

BLEND = "hybrid"
LEARNED = "learned"
SINGLE = {"lexical": {"alpha": 0.0}, "vector": {"alpha": 1.0}}
WEIGHTS = ("weight_lexical", "weight_vector", "weight_no_caption", "weight_no_vector")
KS = (10.0, 20.0, 40.0, 70.0, 100.0, 150.0, 250.0, 400.0)


def tune(
    engine: EmbeddedEngine,
    encoder: DualEncoder | None,
    corpus: Corpus,
    options: TuningOptions | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Search alpha and k of `hybrid`, and the weights of `learned`, on a development split.

    Raises EvaluationError where the index has no vectors (there is nothing to blend), or the
    corpus no such split or not enough queries for the folds.
    """
    options = options or TuningOptions()
    searcher, task = _prepare(engine, encoder, corpus, options)
    clusters = topic_clusters(task, searcher.pool.groups)
    groups = len(set(clusters.tolist()))
    if groups < 2 * options.folds:
        raise EvaluationError(
            f"{len(task.topics)} queries of {task.protocol} in split {options.split!r}, of "
            f"{groups} cases, articles or images without one, are too few for {options.folds} "
            "folds. Tune on a larger split, on another protocol, or with fewer --folds."
        )
    progress("tune", 0, 3, "searching")
    found = collect_candidates(searcher, task, BLEND, CORNERS)
    folds = _folds(clusters, options)
    profiles = engine.profiles

    progress("tune", 1, 3, "alpha and k")
    blend = profiles.resolve(BLEND)
    # Of choices that do equally well the first is taken: the one with the k that it has.
    ks = sorted(KS, key=lambda k: abs(k - blend.inputs["k"]))
    grid = [{**blend.inputs, "alpha": a, "k": k} for k, a in product(ks, ALPHAS)]
    tried = _try_all(found, blend, grid)
    best = grid[int(tried.mean(axis=1).argmax())]
    values = {f"tuned {BLEND}": _cross_validated(tried, folds)}
    values[f"{BLEND} as it was"] = _values(found, blend, dict(blend.inputs))
    for name, inputs in SINGLE.items():
        values[name] = _values(found, blend, {**blend.inputs, **inputs})
    chosen = {BLEND: best}

    progress("tune", 2, 3, "learned weights")
    if LEARNED in profiles.names():
        learned = profiles.resolve(LEARNED)
        fitted, held_out = _learn(found, learned, folds, learned.inputs["k"])
        values[f"tuned {LEARNED}"] = held_out
        chosen[LEARNED] = fitted
    progress("tune", 3, 3)

    at_best_k = [row for row, inputs in enumerate(grid) if inputs["k"] == best["k"]]
    curve = column_estimates(tried[at_best_k].T, clusters, options.seed, RESAMPLES)
    single = max(SINGLE, key=lambda name: float(values[name].mean()))
    blends = {name: values[f"tuned {name}"] for name in chosen}
    table = np.column_stack(list(values.values()))
    return Tuning(
        profiles=_written_back(profiles, chosen, corpus, encoder, task, options),
        chosen=chosen,
        estimates=dict(
            zip(values, column_estimates(table, clusters, options.seed, RESAMPLES), strict=True)
        ),
        curve=dict(zip([grid[row]["alpha"] for row in at_best_k], curve, strict=True)),
        better_single=single,
        comparisons=compare_profiles(
            {**blends, single: values[single]},
            HEADLINE,
            clusters=clusters,
            seed=options.seed,
            pairs=[(name, single) for name in blends],
        ),
        protocol=task.protocol,
        split=options.split,
        queries=len(task.topics),
    )


def _prepare(
    engine: EmbeddedEngine, encoder: DualEncoder | None, corpus: Corpus, options: TuningOptions
) -> tuple[PoolSearcher, Task]:
    field = vector_field(engine, encoder)
    if field is None:
        raise EvaluationError(
            "The index has no vectors, so there is nothing to blend. Index with an encoder first."
        )
    if BLEND not in engine.profiles.names():
        raise EvaluationError(f"The index has no profile {BLEND!r} to tune.")
    if options.split == TRAIN:
        raise EvaluationError(
            f"Split {TRAIN!r} cannot be tuned on: the encoder was trained on it, so vector ranking "
            "does better there than on any image it has not seen. Tune on the validation split."
        )
    indexed = set(engine.ids())
    pool = load_pool(corpus, indexed, indexed, split=options.split)
    searcher = PoolSearcher(engine, pool, encoder)
    refuse_stale(searcher, corpus)
    tasks, skipped = build_tasks(pool, expand([options.protocol])[:1])
    if not tasks:
        raise EvaluationError(_nothing_to_ask(skipped, options))
    if tasks[0].no_lexical:
        raise EvaluationError(
            f"{options.protocol} cannot be tuned on: lexical ranking is {tasks[0].no_lexical}."
        )
    return searcher, tasks[0]


def _nothing_to_ask(skipped: Sequence[Skipped], options: TuningOptions) -> str:
    reasons = "; ".join(part.reason for part in skipped) or "it has no engine queries"
    return f"{options.protocol} cannot be tuned on in split {options.split!r}: {reasons}."


def _values(found: Candidates, profile: Profile, inputs: Mapping[str, float]) -> Values:
    return found.reciprocal_ranks(found.scores(expression_of(profile), inputs))


def _try_all(found: Candidates, profile: Profile, grid: Sequence[Inputs]) -> Values:
    """RR@10 of every query under every choice, float64 [choices, queries]."""
    expression = expression_of(profile)
    return np.stack([found.reciprocal_ranks(found.scores(expression, i)) for i in grid])


def _folds(clusters: NDArray[np.int64], options: TuningOptions) -> NDArray[np.int64]:
    """The fold of each query, int [queries]; a cluster is in one fold."""
    count = int(clusters.max()) + 1
    order = np.random.default_rng(options.seed).permutation(count)
    return np.asarray((order % options.folds)[clusters])


def _cross_validated(tried: Values, folds: NDArray[np.int64]) -> Values:
    """Each query's value under the choice that is best for the other folds."""
    values = np.empty(tried.shape[1])
    for fold in np.unique(folds):
        held_out = folds == fold
        choice = int(tried[:, ~held_out].mean(axis=1).argmax())
        values[held_out] = tried[choice, held_out]
    return values


def _learn(
    found: Candidates, profile: Profile, folds: NDArray[np.int64], k: float
) -> tuple[Inputs, Values]:
    """Weights fitted on all queries, and each query's value under weights fitted without it."""
    table = _parts(found, k)
    values = np.empty(found.queries)
    for fold in np.unique(folds):
        rows = found.of(folds != fold)
        inputs = _fit(profile, table[rows], found.relevant[rows], k)
        held_out = folds == fold
        values[held_out] = _values(found, profile, inputs)[held_out]
    return _fit(profile, table, found.relevant, k), values


def _parts(found: Candidates, k: float) -> Values:
    """What the learned profile weighs, float64 [candidates, 4], as in WEIGHTS."""
    lexical = found.features["bm25(caption)"]
    closeness = next(v for name, v in found.features.items() if name.startswith("closeness("))
    has_caption = found.features["attribute(has_caption)"]
    has_vector = next(v for n, v in found.features.items() if n.startswith("attribute(has_vector"))
    return np.column_stack([lexical / (lexical + k), closeness, 1 - has_caption, 1 - has_vector])


def _fit(profile: Profile, table: Values, relevant: NDArray[np.bool_], k: float) -> Inputs:
    """The profile's inputs with fitted weights; a part that never varies keeps its default."""
    varied = np.ptp(table, axis=0) > 0
    weights = fit_logistic(table[:, varied], relevant).round(4).tolist()
    names = [name for name, kept in zip(WEIGHTS, varied, strict=True) if kept]
    fitted = dict(zip(["bias", *names], weights, strict=True))
    return {**profile.inputs, "k": k, **fitted}


def _written_back(
    profiles: ProfileSet,
    chosen: Mapping[str, Inputs],
    corpus: Corpus,
    encoder: DualEncoder | None,
    task: Task,
    options: TuningOptions,
) -> ProfileSet:
    """The profiles with tuned defaults, each telling where they came from."""
    origin = (
        f"{TUNED_ON}{len(task.topics)} {task.protocol} queries of the "
        f"{tuned_split(options.split, corpus)}, "
        f"encoder {encoder.manifest.fingerprint[:8] if encoder else 'none'}."
    )
    tuned = []
    for name, inputs in chosen.items():
        old = profiles.by_name[name]
        description = f"{old.description.partition(f' {TUNED_ON}')[0]} {origin}"
        resolved = profiles.resolve(name).inputs
        changed = {key: v for key, v in inputs.items() if resolved.get(key) != v}
        tuned.append(replace(old, description=description, inputs={**dict(old.inputs), **changed}))
    return profiles.replaced(tuned)
