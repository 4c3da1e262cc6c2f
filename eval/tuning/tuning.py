"""Tune blend weights on a development split, with repeated cross-validation.

Every figure is cross-validated over ten partitions: the weights that answer a query were chosen
without it, nor any query of its cluster. Shipped values are kept unless that beats them; other
protocols are guarded against a loss. Every tuned blend is compared with the better single ranking,
and a blend that does not beat it by more than noise is reported as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from encoders.inference.dual_encoder import DualEncoder
from encoders.training.seen_pairs import Record
from eval.collection.clusters import Clusters
from eval.collection.pool import load_pool
from eval.collection.runs import EvaluationError
from eval.leakage.leakage import find_leakage
from eval.leakage.staleness import refuse_stale
from eval.leakage.training_overlap import TRAIN, find_overlap
from eval.measure.bootstrap import RESAMPLES
from eval.measure.metrics import HEADLINE
from eval.measure.results import Estimate
from eval.measure.significance import compare_profiles, holm, paired_randomisation
from eval.protocols import build_tasks, expand
from eval.protocols.overlap import step_of
from eval.protocols.tasks import Skipped, Task, topic_clusters
from eval.search.answer import PoolSearcher, vector_field
from eval.search.targets import EmbeddedTarget
from eval.tuning.candidates import Candidates, collect_candidates
from eval.tuning.curve import ALPHAS, CORNERS, column_estimates, expression_of, sampled
from eval.tuning.logistic import fit_logistic
from eval.tuning.tuning_result import (
    TUNED_ON,
    Gain,
    Guarded,
    Inputs,
    Tuning,
    TuningOptions,
    tuned_split,
)
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import Profile, ProfileSet

__all__ = ["Tuning", "TuningOptions", "tune"]

Values = NDArray[np.float64]

BLEND = "hybrid"
LEARNED = "learned"
SINGLE = {"lexical": {"alpha": 0.0}, "vector": {"alpha": 1.0}}
WEIGHTS = ("weight_lexical", "weight_vector", "weight_no_caption", "weight_no_vector")
EVIDENCE = ("weight_lexical", "weight_vector")
PARTITIONS = 10
# Other ways of asking that new values must not spoil; of the overlap curve one step in the middle.
GUARDED = ("overlap", "split-caption", "same-case", "same-article", "caption", "concept-queries")
GUARDED_STEPS = ("overlap-random-75",)
LIKE_TRAINING = (
    "in-training",
    "training-caption",
    "near-training-caption",
    "training-group",
    "like-training",
)
KS = (10.0, 20.0, 40.0, 70.0, 100.0, 150.0, 250.0, 400.0)


def tune(
    engine: EmbeddedEngine,
    encoder: DualEncoder | None,
    corpus: Corpus,
    options: TuningOptions | None = None,
    progress: Progress = silent,
    *,
    record: Record | None = None,
) -> Tuning:
    """Search alpha and k of `hybrid`, and the weights of `learned`, on a development split.

    A profile keeps its shipped values unless the tuned ones, cross-validated over ten partitions
    of the clusters, beat them by more than the partitions differ and by more than noise. record:
    what the encoder was trained on; queries like it are left out. Raises EvaluationError where
    the index has no vectors (there is nothing to blend), or the corpus no such split or not
    enough queries for the folds.
    """
    options = options or TuningOptions()
    searcher, task, others, left_out = _prepare(engine, encoder, corpus, options, record)
    clusters = topic_clusters(task.topics, searcher.pool)
    groups = len(clusters.names)
    if groups < 2 * options.folds:
        raise EvaluationError(
            f"{len(task.topics)} queries of {task.protocol} in split {options.split!r}, of "
            f"{groups} independent clusters, are too few for {options.folds} folds ({left_out} "
            "queries that resemble the encoder's training data were left out). Tune on a larger "
            "split, on another protocol, or with fewer --folds."
        )
    progress("tune", 0, 4, "searching")
    found = collect_candidates(searcher, task, BLEND, CORNERS)
    partitions = [_folds(clusters, options, number) for number in range(PARTITIONS)]
    profiles = engine.profiles

    progress("tune", 1, 4, "alpha and k")
    blend = profiles.resolve(BLEND)
    # Of choices that do equally well the first is taken: the one with the k that it has.
    ks = sorted(KS, key=lambda k: abs(k - blend.inputs["k"]))
    grid = [{**blend.inputs, "alpha": a, "k": k} for k, a in product(ks, ALPHAS)]
    tried = _try_all(found, blend, grid)
    best = grid[int(tried.mean(axis=1).argmax())]
    crossed = {BLEND: [_cross_validated(tried, folds) for folds in partitions]}
    fitted = {BLEND: best}

    progress("tune", 2, 4, "learned weights")
    if LEARNED in profiles.names():
        learned = profiles.resolve(LEARNED)
        fitted[LEARNED], crossed[LEARNED] = _learn(found, learned, partitions, learned.inputs["k"])
    shipped = {name: profiles.resolve(name) for name in fitted}
    values = {f"tuned {name}": np.mean(each, axis=0) for name, each in crossed.items()}
    for name, profile in shipped.items():
        values[f"shipped {name}"] = _values(found, profile, dict(profile.inputs))
    for name, inputs in SINGLE.items():
        values[name] = _values(found, blend, {**blend.inputs, **inputs})
    gains = _gains(values, crossed, clusters, options.seed)
    chosen = {
        name: inputs if gains[name].beats else dict(shipped[name].inputs)
        for name, inputs in fitted.items()
    }

    progress("tune", 3, 4, "other protocols")
    changed = {name: inputs for name, inputs in chosen.items() if gains[name].beats}
    guarded = _guard(searcher, others, shipped, changed, options.seed)
    progress("tune", 4, 4)

    at_best_k = [row for row, inputs in enumerate(grid) if inputs["k"] == best["k"]]
    curve = column_estimates(tried[at_best_k].T, clusters, options.seed, RESAMPLES)
    single = max(SINGLE, key=lambda name: float(values[name].mean()))
    blends = {name: values[f"tuned {name}"] for name in chosen}
    table = np.column_stack(list(values.values()))
    estimates = dict(
        zip(values, column_estimates(table, clusters, options.seed, RESAMPLES), strict=True)
    )
    return Tuning(
        profiles=_written_back(profiles, changed, estimates, corpus, encoder, task, options),
        chosen=chosen,
        gains=gains,
        guarded=guarded,
        estimates=estimates,
        curve=dict(zip([grid[row]["alpha"] for row in at_best_k], curve, strict=True)),
        better_single=single,
        comparisons=compare_profiles(
            {**blends, single: values[single]},
            HEADLINE,
            clusters,
            seed=options.seed,
            pairs=[(name, single) for name in blends],
        ),
        protocol=task.protocol,
        split=options.split,
        queries=len(task.topics),
        left_out=left_out,
    )


def _prepare(
    engine: EmbeddedEngine,
    encoder: DualEncoder | None,
    corpus: Corpus,
    options: TuningOptions,
    record: Record | None,
) -> tuple[PoolSearcher, Task, list[Task], int]:
    """The searcher, the task to tune on, those to guard, and how many queries were left out."""
    field = vector_field(engine, encoder)
    if field is None:
        raise EvaluationError(
            "The index has no vectors, so there is nothing to blend. Index with an encoder first."
        )
    if BLEND not in engine.profiles.names():
        raise EvaluationError(f"The index has no profile {BLEND!r} to tune.")
    if options.split == TRAIN:
        raise EvaluationError(
            f"Split {TRAIN!r} cannot be tuned on: the encoder was trained on it, so vector "
            "ranking is better there than on unseen images. Tune on the validation split."
        )
    indexed = set(engine.ids())
    pool = load_pool(corpus, indexed, indexed, split=options.split)
    searcher = PoolSearcher(EmbeddedTarget(engine), pool, encoder)
    refuse_stale(searcher, corpus)
    tasks, skipped = build_tasks(pool, expand([options.protocol])[:1])
    if not tasks:
        raise EvaluationError(_nothing_to_ask(skipped, options))
    if tasks[0].no_lexical:
        raise EvaluationError(
            f"{options.protocol} cannot be tuned on: lexical ranking is {tasks[0].no_lexical}."
        )
    reader = encoder.captions if encoder else None
    captions = reader.manifest.fingerprint if reader else ""
    overlap = find_overlap(corpus, pool, field.fingerprint, record, captions)
    kinds = find_leakage(tasks[0], pool.captions, overlap).kinds
    kept = np.flatnonzero([kind not in LIKE_TRAINING for kind in kinds])
    if not len(kept):
        raise EvaluationError(
            f"Every query of {options.protocol} in split {options.split!r} resembles the "
            "encoder's training data: weights tuned on them would favour vectors."
        )
    guards, _ = build_tasks(pool, [name for name in GUARDED if name != options.protocol])
    others = [sampled(task, options.seed) for task in guards if not step_of(task.protocol)]
    others += [sampled(task, options.seed) for task in guards if task.protocol in GUARDED_STEPS]
    return searcher, tasks[0].take(kept), others, len(kinds) - len(kept)


def _gains(
    values: Mapping[str, Values],
    crossed: Mapping[str, Sequence[Values]],
    clusters: Clusters,
    seed: int,
) -> dict[str, Gain]:
    """What tuning gains over the shipped values, profile -> Gain."""
    pairs = [(f"tuned {name}", f"shipped {name}") for name in crossed]
    found = compare_profiles(values, HEADLINE, clusters, pairs=pairs, seed=seed)
    return {
        name: Gain(
            difference=comparison.difference,
            spread=float(np.std([each.mean() for each in parts], ddof=1)),
            comparison=comparison,
        )
        for (name, parts), comparison in zip(crossed.items(), found, strict=True)
    }


def _guard(
    searcher: PoolSearcher,
    tasks: Sequence[Task],
    shipped: Mapping[str, Profile],
    changed: Mapping[str, Inputs],
    seed: int,
) -> list[Guarded]:
    """What the new values do to other protocols; empty where no value is new."""
    found = []
    for task in tasks if changed else ():
        candidates = collect_candidates(searcher, task, BLEND, CORNERS)
        clusters = topic_clusters(task.topics, searcher.pool)
        for name, inputs in changed.items():
            before = _values(candidates, shipped[name], dict(shipped[name].inputs))
            after = _values(candidates, shipped[name], inputs)
            p = paired_randomisation(
                (after - before)[:, None], clusters, seed=seed, alternative="less"
            )
            figures = float(before.mean()), float(after.mean())
            found.append(Guarded(task.protocol, name, *figures, float(p[0])))
    corrected = holm(np.array([each.p for each in found]))
    return [replace(each, p=float(p)) for each, p in zip(found, corrected, strict=True)]


def _nothing_to_ask(skipped: Sequence[Skipped], options: TuningOptions) -> str:
    reasons = "; ".join(part.reason for part in skipped) or "it has no engine queries"
    return f"{options.protocol} cannot be tuned on in split {options.split!r}: {reasons}."


def _values(found: Candidates, profile: Profile, inputs: Mapping[str, float]) -> Values:
    return found.reciprocal_ranks(found.scores(expression_of(profile), inputs))


def _try_all(found: Candidates, profile: Profile, grid: Sequence[Inputs]) -> Values:
    """RR@10 of every query under every choice, float64 [choices, queries]."""
    expression = expression_of(profile)
    return np.stack([found.reciprocal_ranks(found.scores(expression, i)) for i in grid])


def _folds(clusters: Clusters, options: TuningOptions, partition: int) -> NDArray[np.int64]:
    """The fold of each query in one partition, int [queries]; a cluster is in one fold."""
    count = len(clusters.names)
    order = np.random.default_rng([options.seed, partition]).permutation(count)
    return np.asarray((order % options.folds)[clusters.numbers])


def _cross_validated(tried: Values, folds: NDArray[np.int64]) -> Values:
    """Each query's value under the choice that is best for the other folds."""
    values = np.empty(tried.shape[1])
    for fold in np.unique(folds):
        held_out = folds == fold
        choice = int(tried[:, ~held_out].mean(axis=1).argmax())
        values[held_out] = tried[choice, held_out]
    return values


def _learn(
    found: Candidates, profile: Profile, partitions: Sequence[NDArray[np.int64]], k: float
) -> tuple[Inputs, list[Values]]:
    """Weights fitted on all queries; for each partition, values under weights fitted without."""
    table = _parts(found, k)
    crossed = []
    for folds in partitions:
        values = np.empty(found.queries)
        for fold in np.unique(folds):
            rows = found.of(folds != fold)
            inputs = _fit(profile, table[rows], found.relevant[rows], k)
            held_out = folds == fold
            values[held_out] = _values(found, profile, inputs)[held_out]
        crossed.append(values)
    return _fit(profile, table, found.relevant, k), crossed


def _parts(found: Candidates, k: float) -> Values:
    """What the learned profile weighs, float64 [candidates, 4], as in WEIGHTS."""
    lexical = found.features["bm25(caption)"]
    closeness = next(v for name, v in found.features.items() if name.startswith("closeness("))
    has_caption = found.features["attribute(has_caption)"]
    has_vector = next(v for n, v in found.features.items() if n.startswith("attribute(has_vector"))
    return np.column_stack([lexical / (lexical + k), closeness, 1 - has_caption, 1 - has_vector])


def _fit(profile: Profile, table: Values, relevant: NDArray[np.bool_], k: float) -> Inputs:
    """The profile's inputs with fitted weights; a part that never varies keeps its default.

    Weights that multiply evidence stay >= 0: more of it must never rank a document lower. One
    that would be negative is 0, and the others are fitted without it.
    """
    names = [
        name for name, varies in zip(WEIGHTS, np.ptp(table, axis=0) > 0, strict=True) if varies
    ]
    none: Inputs = {}
    while True:
        columns = [WEIGHTS.index(name) for name in names]
        weights = fit_logistic(table[:, columns], relevant).round(4).tolist()
        fitted = dict(zip(["bias", *names], weights, strict=True))
        negative = [name for name in EVIDENCE if fitted.get(name, 0.0) < 0]
        if not negative:
            return {**profile.inputs, "k": k, **fitted, **none}
        worst = min(negative, key=lambda name: fitted[name])
        names.remove(worst)
        none[worst] = 0.0


def _written_back(
    profiles: ProfileSet,
    changed: Mapping[str, Inputs],
    estimates: Mapping[str, Estimate],
    corpus: Corpus,
    encoder: DualEncoder | None,
    task: Task,
    options: TuningOptions,
) -> ProfileSet:
    """The profiles with their new defaults, each telling where they came from."""
    tuned = []
    for name, inputs in changed.items():
        old = profiles.by_name[name]
        figure, before = estimates[f"tuned {name}"], estimates[f"shipped {name}"]
        origin = (
            f"{TUNED_ON}{len(task.topics)} {task.protocol} queries of the "
            f"{tuned_split(options.split, corpus)}, "
            f"encoder {encoder.manifest.fingerprint[:8] if encoder else 'none'}: "
            f"M{HEADLINE} {figure.value:.3f} cross-validated, {before.value:.3f} as shipped."
        )
        description = f"{old.description.partition(f' {TUNED_ON}')[0]} {origin}"
        resolved = profiles.resolve(name).inputs
        new = {key: v for key, v in inputs.items() if resolved.get(key) != v}
        tuned.append(replace(old, description=description, inputs={**dict(old.inputs), **new}))
    return profiles.replaced(tuned) if tuned else profiles
