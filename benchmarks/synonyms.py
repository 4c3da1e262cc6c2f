"""What synonyms learned from concepts give: recall of captions that say it another way.

Half of the groups of a corpus with concepts teaches the forms of each concept; the queries are the
forms of the other half, none of whose captions was seen (eval/protocols/concept_queries.py). "Half
and indexed" learns from the searched documents' own concepts too. Then what synonyms do to queries
that need none: halves of captions, and captions that lost words.

    python -m benchmarks.synonyms build/roco
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.collection.concept_forms import learned_forms, synonym_file
from eval.collection.pool import Pool
from eval.measure.significance import paired_randomisation
from eval.protocols.concept_queries import concept_queries
from eval.protocols.known_item import split_caption
from eval.protocols.overlap import overlap
from eval.protocols.tasks import Skipped, Task, topic_clusters
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.text.synonyms import Synonyms, read_synonyms
from ranking.types import Document, Query, Result

CUT = 100
WEIGHTS = (0.1, 0.25, 0.5)
ELSEWHERE = ("overlap-random-0", "overlap-random-50", "overlap-random-75")


def pool_of(found: list) -> Pool:
    """The documents as a pool of which all ask."""
    found = sorted(found, key=lambda document: document.id)
    everything = np.ones(len(found), bool)
    return Pool(
        tuple(d.id for d in found),
        tuple(d.caption or "" for d in found),
        tuple(d.concepts for d in found),
        tuple(d.concept_names for d in found),
        tuple(d.group_id for d in found),
        ("",) * len(found),
        tuple(d.modality for d in found),
        everything,
        everything,
    )


def learned(pool: Pool, weight: float) -> Synonyms:
    """The synonyms of the file that `rocosearch synonyms` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "synonyms.txt")
        path.write_text(synonym_file(learned_forms(pool), weight), "utf-8")
        return read_synonyms(path)


def answers(searcher: Searcher, task: Task, pool: Pool, k: int) -> list[tuple[set[str], Result]]:
    """Of each query, the relevant documents and the hits."""
    grades, ids = task.qrels.grades, task.qrels.documents
    asked = [
        Query(
            topic.text,
            profile="lexical",
            k=k,
            exclude_ids=frozenset(pool.ids[row] for row in topic.excluded),
            expansions=searcher.widening(topic.text),
            with_documents=False,
        )
        for topic in task.topics
    ]
    results = searcher.engine.search_many(asked)
    relevant = [{ids[column] for column in grades[[row]].indices} for row in range(len(asked))]
    return list(zip(relevant, results, strict=True))


def recall(right: set[str], result: Result) -> float:
    """Share of the relevant documents among the hits."""
    return len(right.intersection(result.ids)) / len(right)


def reciprocal_rank(right: set[str], result: Result) -> float:
    """1 / rank of the first relevant hit, 0 where there is none."""
    return next((1 / rank for rank, name in enumerate(result.ids, 1) if name in right), 0.0)


def compare(name: str, task: Task, pool: Pool, rows: dict[str, np.ndarray]) -> None:
    """Print each row against the first: means, how many queries rise and fall, a paired test."""
    clusters = topic_clusters(task.topics, pool)
    plain = next(iter(rows.values()))
    for label, values in rows.items():
        moved = values - plain
        p = paired_randomisation(moved[:, None], clusters)[0] if moved.any() else 1.0
        print(
            f"| {name} | {len(values):,} | {label} | {values.mean():.3f} | {(moved > 0).sum()} | "
            f"{(moved < 0).sum()} | {p:.4f} |",
            flush=True,
        )


def halves(pool: Pool, held: list[Document]) -> tuple[EmbeddedEngine, Task]:
    """Second halves of captions, indexed, and the first halves that ask (split-caption)."""
    (task,) = split_caption(pool)
    ends = []
    for document in held:
        words = (document.caption or "").split()
        ends.append(replace(document, caption=" ".join(words[len(words) // 2 :])))
    return EmbeddedEngine.in_memory(ends), task


def main() -> None:
    """Print concept queries, then what else changes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    options = parser.parse_args()
    found = list(documents(Corpus.open(options.corpus)))
    groups = sorted({d.group_id or d.id for d in found})
    drawn = np.random.default_rng(options.seed).permutation(len(groups))
    taught = {groups[n] for n in drawn[: len(groups) // 2]}
    held = [d for d in found if (d.group_id or d.id) not in taught]
    lesson = pool_of([d for d in found if (d.group_id or d.id) in taught])
    pool, whole = pool_of(held), pool_of(found)
    synonyms = {"none": None}
    synonyms |= {f"half, weight {w}": learned(lesson, w) for w in WEIGHTS}
    synonyms |= {f"half and indexed, weight {w}": learned(whole, w) for w in (0.1, 0.5)}
    searcher = Searcher(EmbeddedEngine.in_memory(held))
    tasks = [(searcher.engine, task, recall, CUT) for task in concept_queries(pool)]
    tasks += [(*halves(pool, held), reciprocal_rank, 10)]
    tasks += [
        (searcher.engine, task, reciprocal_rank, 10)
        for task in overlap(pool)
        if task.protocol in ELSEWHERE
    ]
    print(
        "| protocol | queries | synonyms | R@100 or RR@10 | better | worse | p |\n"
        + "|---" * 7
        + "|"
    )
    for engine, task, metric, k in tasks:
        if isinstance(task, Skipped):
            print(f"{task.protocol}: {task.reason}")
            continue
        rows = {}
        for label, chosen in synonyms.items():
            searcher.engine, searcher.synonyms = engine, chosen
            rows[label] = np.array([metric(*each) for each in answers(searcher, task, pool, k)])
        compare(task.protocol, task, pool, rows)


if __name__ == "__main__":
    main()
