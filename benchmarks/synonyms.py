"""What synonyms learned from concepts give: recall of captions that say it another way.

Half of the groups of a corpus with concepts teaches the forms of each concept; the queries are the
forms of the other half, none of whose captions was seen (eval/protocols/concept_queries.py).

    python -m benchmarks.synonyms build/roco
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from eval.collection.pool import Pool
from eval.protocols.concept_queries import concept_forms, concept_queries
from eval.protocols.tasks import Skipped
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.text.synonyms import Expansion, Synonyms
from ranking.text.tokens import query_terms
from ranking.types import Query

CUT = 100
WEIGHTS = (0.0, 0.25, 0.5, 1.0)


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
    """Each form of a concept widens to its others."""
    forms: dict[tuple[str, ...], tuple[Expansion, ...]] = {}
    for said in concept_forms(pool).values():
        cut = [tuple(query_terms(form)) for form in said]
        for form in cut:
            others = tuple(Expansion(other, weight) for other in cut if other != form)
            forms[form] = (*forms.get(form, ()), *others)
    return Synonyms(forms)


def main() -> None:
    """Print R@100 without synonyms and with each weight, and how often it rises and falls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    found = list(documents(Corpus.open(parser.parse_args().corpus)))
    groups = sorted({d.group_id or d.id for d in found})
    drawn = np.random.default_rng(0).permutation(len(groups))
    taught = {groups[n] for n in drawn[: len(groups) // 2]}
    lesson = pool_of([d for d in found if (d.group_id or d.id) in taught])
    held = [d for d in found if (d.group_id or d.id) not in taught]
    pool = pool_of(held)
    (task,) = concept_queries(pool)
    if isinstance(task, Skipped):
        raise SystemExit(task.reason)
    grades = task.qrels.grades
    relevant = [
        {task.qrels.documents[column] for column in grades[[row]].indices}
        for row in range(len(task.topics))
    ]
    searcher = Searcher(EmbeddedEngine.in_memory(held))
    rows = {}
    for weight in WEIGHTS:
        searcher.synonyms = learned(lesson, weight) if weight else None
        asked = [
            Query(
                topic.text,
                profile="lexical",
                k=CUT,
                exclude_ids=frozenset(pool.ids[row] for row in topic.excluded),
                expansions=searcher.widening(topic.text),
                with_documents=False,
            )
            for topic in task.topics
        ]
        results = searcher.engine.search_many(asked)
        rows[weight] = np.array(
            [
                len(right.intersection(result.ids)) / len(right)
                for right, result in zip(relevant, results, strict=True)
            ]
        )
    for weight, recalls in rows.items():
        risen, fallen = (recalls > rows[0.0]).sum(), (recalls < rows[0.0]).sum()
        print(
            f"weight {weight:.2f}: R@{CUT} {recalls.mean():.4f} over {len(recalls)} queries, "
            f"{risen} rise, {fallen} fall"
        )


if __name__ == "__main__":
    main()
