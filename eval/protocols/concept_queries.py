"""Concept queries: one surface form retrieves captions with other forms.

Lexical ranking cannot find them, a vector or a synonym can. The forms that ask are those of
eval/collection/concept_forms.py. Documents that carry the concept with any word of the form are
taken out of the results, so that none of them counts for or against.
"""

from __future__ import annotations

import numpy as np

from eval.collection.concept_forms import concept_forms, rows_of_concepts
from eval.collection.pool import Pool
from eval.collection.runs import Qrels
from eval.protocols.tasks import GRADED, Skipped, Task, Topic, left_out_notes

__all__ = ["concept_queries"]

MOST_QUERIES = 1_000
SEED = 0


def concept_queries(pool: Pool) -> list[Task | Skipped]:
    """Every form of every concept that is also said otherwise; beyond 1,000 a seeded sample."""
    name = "concept-queries"
    if not any(pool.concepts):
        return [Skipped(name, "the corpus has no concepts")]
    carrying = rows_of_concepts(pool)
    words = [set(text.split()) for text in pool.normalised]
    asked = []
    for concept, forms in concept_forms(pool).items():
        for form in forms:
            said = set(form.split())
            right = [row for row in carrying[concept] if words[row] and not words[row] & said]
            if right:
                gone = tuple(row for row in carrying[concept] if words[row] & said)
                topic = Topic(
                    f"{concept}:{form.replace(' ', '_')}",
                    form,
                    excluded=gone,
                    tie=f"concept {concept}",
                )
                asked.append((topic, right))
    if not asked:
        return [Skipped(name, "no concept is said in two ways in the searched captions")]
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(asked))[:MOST_QUERIES])
    topics = tuple(asked[i][0] for i in chosen.tolist())
    right_of = [asked[i][1] for i in chosen.tolist()]
    return [
        Task(
            protocol=name,
            description="One way of saying a concept finds the captions that say it another way.",
            topics=topics,
            qrels=Qrels.from_columns(tuple(t.id for t in topics), pool.ids, right_of),
            metric=GRADED,
            notes=left_out_notes(
                {f"beyond a random sample of {MOST_QUERIES}": len(asked) - len(topics)}
            ),
        )
    ]
