"""Concept queries: one surface form retrieves captions with other forms.

Lexical ranking cannot find them, a vector or a synonym can. The forms that ask are the concept's
names; where the corpus has none, phrases of captions that nearly always come with it. Documents
that carry the concept with any word of the form are taken out of the results, so that none of them
counts for or against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

import numpy as np
from scipy.sparse import csr_array

from eval.collection.pool import Pool
from eval.collection.runs import Qrels
from eval.protocols.overlap import STOP_WORDS
from eval.protocols.tasks import GRADED, Skipped, Task, Topic, left_out_notes
from ingest.corpus.duplicates import normal_caption

__all__ = ["concept_forms", "concept_queries", "learned_forms", "named_forms", "surface_forms"]

LONGEST = 3  # words of a form
FEWEST = 5  # captions that must hold a form
PRECISION = 0.95  # of captions that hold a form, those that carry the concept
FEWEST_LEARNED, PRECISION_LEARNED = 2, 0.8  # the same for a synonym
COVERED = 0.05  # of captions that carry a concept, those that hold a form
MOST_QUERIES = 1_000
SEED = 0


def concept_queries(pool: Pool) -> list[Task | Skipped]:
    """Every form of every concept that is also said otherwise; beyond 1,000 a seeded sample."""
    name = "concept-queries"
    if not any(pool.concepts):
        return [Skipped(name, "the corpus has no concepts")]
    carrying: defaultdict[str, list[int]] = defaultdict(list)
    for row, concepts in enumerate(pool.concepts):
        for concept in set(concepts):
            carrying[concept].append(row)
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


def concept_forms(pool: Pool) -> dict[str, list[str]]:
    """Concept -> its forms: its names, or phrases of captions where the corpus names none."""
    return named_forms(pool) if any(pool.concept_names) else surface_forms(pool)


def learned_forms(pool: Pool) -> dict[str, list[str]]:
    """Concept -> synonyms, for concepts with two or more: names, else phrases by a milder rule.

    A rare phrase that is wrong costs a query little; one that is missing costs it every document
    that says nothing else.
    """
    if any(pool.concept_names):
        return {concept: names for concept, names in named_forms(pool).items() if names[1:]}
    return surface_forms(pool, FEWEST_LEARNED, PRECISION_LEARNED)


def surface_forms(
    pool: Pool, fewest: int = FEWEST, precision: float = PRECISION
) -> dict[str, list[str]]:
    """Concept -> its forms, for concepts with two or more; no two share a word.

    A phrase of up to three words is a form where at least `fewest` captions hold it, a share of
    `precision` of them carries the concept, and it is in 5 % of the captions that do.
    """
    concepts = sorted(set(chain.from_iterable(pool.concepts)))
    place = {concept: row for row, concept in enumerate(concepts)}
    grams: dict[str, int] = {}
    per_document = [sorted(_grams(text)) for text in pool.normalised]
    for gram in chain.from_iterable(per_document):
        grams.setdefault(gram, len(grams))
    holds = _matrix([[grams[gram] for gram in row] for row in per_document], len(grams))
    carries = _matrix([[place[c] for c in set(row)] for row in pool.concepts], len(concepts))
    counts = np.asarray(holds.sum(axis=0)).ravel()
    often = np.flatnonzero(counts >= fewest)
    together = (carries.T @ holds.tocsc()[:, often]).tocoo()
    carried = np.asarray(carries.sum(axis=0)).ravel()
    kept = together.data >= np.maximum(
        precision * counts[often][together.col], COVERED * carried[together.row]
    )
    texts = list(grams)
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for concept, gram, count in zip(
        together.row[kept].tolist(),
        together.col[kept].tolist(),
        together.data[kept].tolist(),
        strict=True,
    ):
        found[concepts[concept]].append((-count, texts[often[gram]]))
    forms = {concept: _distinct(some) for concept, some in sorted(found.items())}
    return {concept: some for concept, some in forms.items() if len(some) > 1}


def named_forms(pool: Pool) -> dict[str, list[str]]:
    """Concept -> its names, normalised, where the corpus names its concepts."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row, named in zip(pool.concepts, pool.concept_names, strict=True):
        if len(row) == len(named):
            for concept, text in zip(row, named, strict=True):
                found[concept].add(normal_caption(text))
    return {concept: sorted(names - {""}) for concept, names in sorted(found.items())}


def _grams(text: str) -> Iterator[str]:
    """The distinct phrases of up to three words that neither begin nor end with a stop word."""
    words = text.split()
    found = {
        " ".join(words[start : start + length])
        for length in range(1, LONGEST + 1)
        for start in range(len(words) - length + 1)
        if words[start] not in STOP_WORDS and words[start + length - 1] not in STOP_WORDS
    }
    return (gram for gram in found if len(gram) > 1 and not gram.replace(" ", "").isdigit())


def _distinct(forms: list[tuple[int, str]]) -> list[str]:
    """The most frequent forms, none of which shares a word with another; short ones first."""
    kept: list[str] = []
    said: set[str] = set()
    for _, form in sorted(forms, key=lambda each: (each[0], each[1].count(" "), each[1])):
        words = set(form.split())
        if not words & said:
            kept.append(form)
            said |= words
    return kept


def _matrix(columns: list[list[int]], width: int) -> csr_array:
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    flat = np.fromiter(chain.from_iterable(columns), np.int32, int(bounds[-1]))
    return csr_array((np.ones(len(flat), np.int32), flat, bounds), shape=(len(columns), width))
