"""Run all protocols and profiles on one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base.progress import Progress, silent
from encoders.inference.dual_encoder import DualEncoder
from encoders.training.seen_pairs import Record
from eval.collection.clusters import Clusters
from eval.collection.pool import Pool, Scope, load_pool
from eval.collection.runs import EvaluationError
from eval.leakage.leakage import find_leakage, is_leaky
from eval.leakage.staleness import refuse_stale
from eval.leakage.training_overlap import Overlap, find_overlap
from eval.measure.incomplete_judgements import judged_figures, read_pool, with_judgements
from eval.measure.metrics import Metric, default_metrics, parse_metrics
from eval.measure.overlap_curve import overlap_curve
from eval.measure.pairs import PairsResult, pairs_card
from eval.measure.results import TaskResult, judge
from eval.measure.slices import slices
from eval.protocols import PAIRS, build_tasks, expand
from eval.protocols.overlap import step_of
from eval.protocols.own_topics import OWN_TOPICS, own_task
from eval.protocols.tasks import Skipped, Task, topic_clusters
from eval.report.evaluation import Evaluation, headline
from eval.report.provenance import provenance, training_curves
from eval.search.answer import PoolSearcher, to_run, vector_field
from eval.search.other_runs import OtherRun, read_other_runs
from eval.search.rank_bm25 import BASELINE, rank_bm25_run
from eval.search.targets import Target
from eval.tuning.curve import WeightCurve, weight_curve
from eval.tuning.tuning_result import tuned_split
from ingest.corpus.corpus import Corpus

__all__ = ["DEFAULT_PROFILES", "Options", "evaluate"]

DEFAULT_PROFILES = ("lexical", "vector", "hybrid_sum", "hybrid", "frames", "study")
BLEND = "hybrid"
SIMILARITY_BATCH = 32

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """What to evaluate, and how.

    protocols, profiles: names, empty for all that the index supports. ks: cut-offs of RR and
    Success. metric: what every protocol is judged by, "" for each one's own. split: where queries
    come from, None for test, else validation. scope: search that split only, or everything; ""
    for all documents with a user's own topics, else the split. topics, qrels: a user's own
    (eval/protocols/own_topics.py); then no protocol runs that is not named. baseline: rank-bm25
    beside the profiles. runs: other systems' (eval/search/other_runs.py). pooling: so deep are
    unjudged documents written down, 0 for not at all; judgements: such a file, filled in
    (eval/measure/incomplete_judgements.py). command: for provenance.
    """

    protocols: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ks: tuple[int, ...] = (1, 5, 10)
    metric: str = ""
    split: str | None = None
    scope: Scope | None = None
    topics: Path | None = None
    qrels: Path | None = None
    baseline: bool = True
    runs: tuple[Path, ...] = ()
    pooling: int = 0
    judgements: Path | None = None
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse judgements without their queries."""
        if self.qrels and not self.topics:
            raise EvaluationError("qrels have no effect without topics: name the queries judged.")


def evaluate(
    target: Target,
    encoder: DualEncoder | None,
    corpus: Corpus,
    options: Options | None = None,
    progress: Progress = silent,
    *,
    record: Record | None = None,
) -> Evaluation:
    """Answer every protocol's queries with every profile, and judge the answers.

    target: an embedded index, or a running Vespa application (make it `strict`).
    encoder: the one that made the index's vectors; None evaluates lexical ranking only.
    record: what the encoder was trained on, where that is known.
    Raises EvaluationError if a name is wrong, where the index and corpus do not belong
    together, or where an answer is partial.
    """
    options = options or Options()
    metrics = _metrics(options)
    searcher, compared = _open(target, encoder, corpus, options)
    pool = searcher.pool
    profiles = choose_profiles(target, searcher, options.profiles)
    overlap = None
    if encoder:
        progress("leakage", 0, 1, "what the encoder was trained on")
        captions = encoder.captions.manifest.fingerprint if encoder.captions else ""
        overlap = find_overlap(corpus, pool, encoder.manifest.fingerprint, record, captions)
        progress("leakage", 1, 1)
    names = () if options.topics and not options.protocols else expand(options.protocols)
    tasks, skipped = _tasks(pool, names, options)
    depth = max(100, options.pooling, *(metric.cutoff for metric in metrics))
    others = read_other_runs(options.runs, tasks, depth, [*profiles, BASELINE])
    results = []
    for done, task in enumerate(tasks):
        progress("evaluate", done, len(tasks), task.protocol)
        runs = others.get(task.protocol, [])
        result = _answer(searcher, task, profiles, metrics, options, overlap, runs)
        if result.runs:
            results.append(result)
        else:
            skipped.append(Skipped(task.protocol, "; ".join(set(result.inapplicable.values()))))
    progress("evaluate", len(tasks), len(tasks))
    card, refused = _pairs(searcher, options.seed, overlap) if PAIRS in names else ([], [])
    if not results and not card:
        reasons = "; ".join(f"{part.protocol}: {part.reason}" for part in [*skipped, *refused])
        raise EvaluationError(f"Nothing can be evaluated ({reasons}).")
    curve = overlap_curve(results, options.seed)
    judged = [r for r in results if r.task.protocol == OWN_TOPICS or options.judgements]
    return Evaluation(
        corpus=corpus,
        pool=pool,
        tasks=results,
        skipped=[*skipped, *refused],
        pairs=card,
        provenance=provenance(target.engine, encoder, corpus, pool, options.command, options.seed),
        training=training_curves(encoder),
        similarity=_similarity(searcher),
        overlap=overlap,
        notes=[
            *compared,
            *(overlap.notes if overlap else ()),
            *_trained_here(pool, overlap),
            *_tuned_here(target, profiles, pool, corpus),
            *(note for r in results if r.task.protocol == OWN_TOPICS for note in r.task.notes),
            *(note for some in others.values() for other in some for note in other.notes),
        ],
        curve=_curve(searcher, target, results, options),
        overlap_curve=curve,
        slices=[
            part
            for r in results
            if not step_of(r.task.protocol)
            for part in slices(r, pool, options.seed)
        ],
        judged={r.task.protocol: judged_figures(r) for r in judged},
        pooling=options.pooling,
    )


def _metrics(options: Options) -> tuple[Metric, ...]:
    wanted = parse_metrics([options.metric]) if options.metric else ()
    return tuple(dict.fromkeys((*default_metrics(options.ks), *wanted)))


def _open(
    target: Target, encoder: DualEncoder | None, corpus: Corpus, options: Options
) -> tuple[PoolSearcher, list[str]]:
    """The searcher of the pool, and notes on what was compared with the corpus."""
    field = vector_field(target.engine, encoder)
    indexed = set(target.engine.ids())
    with_vector = target.with_vectors(corpus, indexed, field) if field else set()
    scope: Scope = options.scope or ("all" if options.topics else "split")
    pool = load_pool(corpus, indexed, with_vector, split=options.split, scope=scope)
    searcher = PoolSearcher(target, pool, encoder)
    return searcher, refuse_stale(searcher, corpus)


def _tasks(pool: Pool, names: Sequence[str], options: Options) -> tuple[list[Task], list[Skipped]]:
    tasks, skipped = build_tasks(pool, names)
    if options.topics is not None:
        tasks.insert(0, own_task(pool, options.topics, options.qrels))
    if options.judgements is None:
        return tasks, skipped
    grades = read_pool(options.judgements)
    if strangers := grades.keys() - {task.protocol for task in tasks}:
        raise EvaluationError(
            f"{options.judgements} has judgements for {', '.join(sorted(strangers))}, which is "
            "not evaluated. Select these protocols with --protocol."
        )
    return [with_judgements(task, grades.get(task.protocol, {})) for task in tasks], skipped


def choose_profiles(
    target: Target, searcher: PoolSearcher, wanted: Sequence[str]
) -> tuple[str, ...]:
    """The profiles to evaluate: those wanted, or the default ones that the index supports.

    An index that has none of the default ones, because its profiles are a person's own, gets all.
    """
    known = target.engine.info().profiles
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
    others: Sequence[OtherRun],
) -> TaskResult:
    depth = max(100, options.pooling, *(metric.cutoff for metric in metrics))
    refused = {profile: searcher.applies(profile, task) for profile in profiles}
    runs = {
        profile: to_run(searcher.search(task, profile, depth), task)
        for profile in profiles
        if not refused[profile]
    }
    if options.baseline and runs and task.asks == "text" and not task.no_lexical:
        texts = searcher.pool.captions if task.texts is None else task.texts
        runs[BASELINE] = rank_bm25_run(task, texts, depth)
    runs |= {other.name: other.run for other in others}
    return judge(
        task,
        runs,
        metrics,
        leakage=find_leakage(task, searcher.pool.captions, overlap),
        clusters=topic_clusters(task.topics, searcher.pool),
        metric=options.metric,
        inapplicable={profile: reason for profile, reason in refused.items() if reason},
        seed=options.seed,
    )


def _trained_here(pool: Pool, overlap: Overlap | None) -> list[str]:
    """A note where queries are made of images that the encoder was trained on."""
    if overlap is None:
        return []
    asking = int(pool.asking.sum())
    seen = int((pool.asking & overlap.image).sum())
    if not is_leaky(seen, asking):
        return []
    told = (
        f"Of the {asking:,} images behind the queries, {seen:,} were in training: figures of "
        "vector rankings do not apply to unseen images."
    )
    return [told]


def _tuned_here(target: Target, profiles: Sequence[str], pool: Pool, corpus: Corpus) -> list[str]:
    """A note for each profile whose weights were tuned on the very queries evaluated here."""
    written = target.profiles
    if written is None:
        return []
    here = tuned_split(pool.split, corpus)
    return [
        f"{name}: its weights were tuned on this split, so its figures are too high."
        for name in profiles
        if here in written.resolve(name).description
    ]


def _curve(
    searcher: PoolSearcher, target: Target, results: Sequence[TaskResult], options: Options
) -> WeightCurve | None:
    """Over the first headline task that has runs, where the blend answers it."""
    shown = headline(results)
    if shown is None or BLEND not in shown.runs or target.profiles is None:
        return None
    return weight_curve(searcher, shown.task, target.profiles.resolve(BLEND), options.seed)


def _pairs(
    searcher: PoolSearcher, seed: int, overlap: Overlap | None
) -> tuple[list[PairsResult], list[Skipped]]:
    rows = _paired_rows(searcher.pool)
    if len(rows) < 2:
        return [], [Skipped(PAIRS, "fewer than two documents have a caption and a vector")]
    captions, images = _both_sides(searcher, rows)
    pool = searcher.pool
    card = pairs_card(
        [pool.ids[row] for row in rows],
        captions,
        images,
        clusters=Clusters.connect([pool.keys(row) for row in rows]),
        texts=[pool.normalised[row] for row in rows],
        in_training=None if overlap is None else overlap.image[rows],
        seed=seed,
    )
    return card, []


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
