"""The evaluation: every protocol, every profile, one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from encoders.inference.dual_encoder import DualEncoder
from eval.leakage.leakage import find_leakage, is_leaky
from eval.leakage.staleness import refuse_stale
from eval.leakage.training_overlap import Overlap, find_overlap
from eval.measure.baseline import BASELINE, rank_bm25_run
from eval.measure.metrics import Metric, default_metrics
from eval.measure.pairs import PairsResult, pairs_card
from eval.measure.results import TaskResult, judge
from eval.measure.slices import slices
from eval.protocols import PAIRS, build_tasks, expand
from eval.protocols.tasks import Skipped, Task
from eval.report.evaluation import Evaluation, headline
from eval.report.provenance import provenance, training_curves
from eval.search.answer import PoolSearcher, to_run, vector_field
from eval.search.pool import Pool, Scope, load_pool
from eval.search.runs import EvaluationError
from eval.search.targets import with_vectors
from eval.search.topics import own_task
from eval.tuning.curve import WeightCurve, weight_curve
from eval.tuning.outcome import tuned_split
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Engine

__all__ = ["DEFAULT_PROFILES", "Options", "evaluate"]

DEFAULT_PROFILES = ("lexical", "vector", "hybrid_sum", "hybrid")
BLEND = "hybrid"
SIMILARITY_BATCH = 32

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """What to evaluate, and how.

    protocols, profiles: names, empty for all that the index supports. ks: cut-offs of RR and
    Success. split: where queries come from, None for test, else validation. scope: search that
    split only, or everything. topics, qrels: a user's own (eval/search/topics.py), searched for in
    everything that is indexed; then no protocol runs that is not named. baseline: rank-bm25
    beside the profiles. command: for provenance.
    """

    protocols: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ks: tuple[int, ...] = (1, 5, 10)
    split: str | None = None
    scope: Scope = "split"
    topics: Path | None = None
    qrels: Path | None = None
    baseline: bool = True
    seed: int = 0
    command: str = ""


def evaluate(
    engine: Engine,
    encoder: DualEncoder | None,
    corpus: Corpus,
    options: Options | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Answer every protocol's queries with every profile, and judge the answers.

    engine: an embedded index, or a running Vespa application (make it `strict`).
    encoder: the one that made the index's vectors; None evaluates lexical ranking only.
    Raises EvaluationError where a name is wrong, where the index and corpus do not belong
    together, or where an answer is partial.
    """
    options = options or Options()
    own = options.topics is not None
    names = () if own and not options.protocols else expand(options.protocols)
    metrics = default_metrics(options.ks)
    field = vector_field(engine, encoder)
    indexed = set(engine.ids())
    with_vector = with_vectors(engine, corpus, indexed, field) if field else set()
    pool = load_pool(
        corpus, indexed, with_vector, split=options.split, scope="all" if own else options.scope
    )
    searcher = PoolSearcher(engine, pool, encoder)
    compared = refuse_stale(searcher, corpus)
    profiles = choose_profiles(engine, searcher, options.profiles)
    overlap = find_overlap(corpus, pool) if encoder else None
    tasks, skipped = build_tasks(pool, names)
    if options.topics is not None:
        tasks.insert(0, own_task(pool, options.topics, options.qrels))
    results = []
    for done, task in enumerate(tasks):
        progress("evaluate", done, len(tasks), task.protocol)
        result = _answer(searcher, task, profiles, metrics, options, overlap)
        if result.runs:
            results.append(result)
        else:
            skipped.append(Skipped(task.protocol, "; ".join(set(result.inapplicable.values()))))
    progress("evaluate", len(tasks), len(tasks))
    card, refused = _pairs(searcher, options.seed, overlap) if PAIRS in names else ([], [])
    if not results and not card:
        reasons = "; ".join(f"{part.protocol}: {part.reason}" for part in [*skipped, *refused])
        raise EvaluationError(f"Nothing can be evaluated ({reasons}).")
    return Evaluation(
        corpus=corpus,
        pool=pool,
        tasks=results,
        skipped=[*skipped, *refused],
        pairs=card,
        provenance=provenance(engine, encoder, corpus, pool, options.command, options.seed),
        training=training_curves(encoder),
        similarity=_similarity(searcher),
        overlap=overlap,
        notes=[
            *compared,
            *_trained_here(pool, overlap),
            *_tuned_here(engine, profiles, pool, corpus),
        ],
        curve=_curve(searcher, engine, results, options),
        slices=[part for r in results for part in slices(r, pool, options.seed)],
    )


def choose_profiles(
    engine: Engine, searcher: PoolSearcher, wanted: Sequence[str]
) -> tuple[str, ...]:
    """The profiles to evaluate: those wanted, or the default ones that the index supports.

    An index that has none of the default ones, because its profiles are a person's own, gets all.
    """
    known = engine.info().profiles
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise EvaluationError(
            f"The index has no profile {', '.join(map(repr, unknown))}; it has {', '.join(known)}."
        )
    if wanted:
        return tuple(dict.fromkeys(wanted))
    usual = [name for name in DEFAULT_PROFILES if name in known] or known
    return tuple(name for name in usual if searcher.supports(name))


def _answer(
    searcher: PoolSearcher,
    task: Task,
    profiles: Sequence[str],
    metrics: Sequence[Metric],
    options: Options,
    overlap: Overlap | None,
) -> TaskResult:
    depth = max(100, *(metric.cutoff for metric in metrics))
    refused = {profile: searcher.applies(profile, task) for profile in profiles}
    runs = {
        profile: to_run(searcher.search(task, profile, depth), task)
        for profile in profiles
        if not refused[profile]
    }
    if options.baseline and runs and task.asks == "text" and not task.no_lexical:
        texts = searcher.pool.captions if task.texts is None else task.texts
        runs[BASELINE] = rank_bm25_run(task, texts, depth)
    return judge(
        task,
        runs,
        metrics,
        leakage=find_leakage(task, searcher.pool.captions, overlap),
        groups=searcher.pool.groups,
        inapplicable={profile: reason for profile, reason in refused.items() if reason},
        seed=options.seed,
    )


def _trained_here(pool: Pool, overlap: Overlap | None) -> list[str]:
    """A note where queries are made of images that the encoder was trained on."""
    if overlap is None:
        return []
    asking = int(pool.asking.sum())
    seen = int((pool.asking & overlap.same_image).sum())
    if not is_leaky(seen, asking):
        return []
    told = (
        f"Of the {asking:,} images that queries are made of, {seen:,} stand in training: figures "
        "of what the encoder ranks are leaky, and say nothing of images that it has not seen."
    )
    return [told]


def _tuned_here(engine: Engine, profiles: Sequence[str], pool: Pool, corpus: Corpus) -> list[str]:
    """A note for each profile whose weights were tuned on the very queries evaluated here."""
    if not isinstance(engine, EmbeddedEngine):
        return []
    here = tuned_split(pool.split, corpus)
    return [
        f"{name}: its weights were tuned on the split evaluated here, so its figures flatter it."
        for name in profiles
        if here in engine.profiles.resolve(name).description
    ]


def _curve(
    searcher: PoolSearcher, engine: Engine, results: Sequence[TaskResult], options: Options
) -> WeightCurve | None:
    """Over the headline task, where the blend answers it."""
    shown = headline(results)
    if shown is None or BLEND not in shown.runs or not isinstance(engine, EmbeddedEngine):
        return None
    return weight_curve(searcher, shown.task, engine.profiles.resolve(BLEND), options.seed)


def _pairs(
    searcher: PoolSearcher, seed: int, overlap: Overlap | None
) -> tuple[list[PairsResult], list[Skipped]]:
    rows = _paired_rows(searcher.pool)
    if len(rows) < 2:
        return [], [Skipped(PAIRS, "fewer than two documents have a caption and a vector")]
    captions, images = _both_sides(searcher, rows)
    ids = [searcher.pool.ids[row] for row in rows]
    groups = [searcher.pool.groups[row] for row in rows]
    seen = None if overlap is None else overlap.same_image[rows]
    return pairs_card(ids, captions, images, groups=groups, in_training=seen, seed=seed), []


def _similarity(searcher: PoolSearcher) -> NDArray[np.float64] | None:
    rows = _paired_rows(searcher.pool)[:SIMILARITY_BATCH]
    if len(rows) < 2:
        return None
    captions, images = _both_sides(searcher, rows)
    return np.asarray(captions @ images.T, dtype=np.float64)


def _paired_rows(pool: Pool) -> list[int]:
    return [row for row in pool.query_rows if pool.has_vector[row] and pool.captions[row]]


def _both_sides(searcher: PoolSearcher, rows: Sequence[int]) -> tuple[Vectors, Vectors]:
    captions = searcher.encode([searcher.pool.captions[row] for row in rows])
    return captions, searcher.image_vectors(rows)
