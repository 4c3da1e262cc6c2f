"""How captions say a concept: its names, and phrases that nearly always come with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binom

from eval.collection.phrases import STOP_WORDS, Phrases
from eval.collection.pool import Pool
from ingest.corpus.duplicates import normal_caption
from ranking.text.synonyms import synonym_line

__all__ = [
    "Forms",
    "concept_forms",
    "learned_forms",
    "rows_of_concepts",
    "surface_forms",
    "synonym_file",
]

LONGEST = 3  # words of a form
FEWEST = 5  # captions that must hold a form
PRECISION = 0.95  # of captions that hold a form, those that carry the concept
FEWEST_LEARNED, PRECISION_LEARNED = 2, 0.8  # the same for a synonym
CHANCE_LEARNED = 0.001  # that so many of them carry the concept whatever they say (binomial)
COVERED = 0.05  # of captions that carry a concept, those that hold a form


def concept_forms(pool: Pool) -> dict[str, list[str]]:
    """Concept -> its forms: its names, or phrases of captions where the corpus names none."""
    return named_forms(pool) if any(pool.concept_names) else surface_forms(pool)


class Forms(NamedTuple):
    """How a concept is said, for synonyms.

    A query with any form is expanded to the main ones. Each main form is in captions that have no
    main form before it; `other` forms stand only beside a main one, so they need not be searched.
    """

    main: tuple[str, ...]
    other: tuple[str, ...]


def learned_forms(pool: Pool) -> dict[str, Forms]:
    """Concept -> forms, for concepts with two or more: its names, and phrases by a milder rule.

    A rare phrase that is wrong costs a query little; one that is missing costs it every document
    that says nothing else. Main phrases are a greedy set cover of the captions that carry the
    concept (Chvatal 1979): each adds 5 % of them or more.
    """
    named, phrases = named_forms(pool), Phrases(pool.normalised)
    carrying = rows_of_concepts(pool)
    found = {}
    rule = (FEWEST_LEARNED, PRECISION_LEARNED, CHANCE_LEARNED)
    for concept, forms in surface_forms(pool, *rule, named).items():
        rows, main = set(carrying[concept]), list(named.get(concept, ()))
        words = chain.from_iterable(name.split() for name in main)
        missing = rows.difference(*(phrases.holders(word) for word in words))
        other = {form: rows.intersection(phrases.holders(form)) for form in forms[len(main) :]}
        while other:
            best = max(other, key=lambda form: len(other[form] & missing))
            if len(other[best] & missing) < max(FEWEST_LEARNED, COVERED * len(rows)):
                break
            missing -= other.pop(best)
            main.append(best)
        found[concept] = Forms(tuple(main), tuple(other))
    return found


def synonym_file(learned: Mapping[str, Forms], weight: float) -> str:
    """The forms as a synonym file (ranking/text/synonyms.py); a synonym counts `weight`."""
    lines = []
    for main, other in learned.values():
        forms = dict.fromkeys(main, weight)
        if len(main) > 1:
            lines.append(synonym_line(forms))
        if other:
            lines.append(synonym_line(forms, other))
    return "".join(f"{line}\n" for line in lines)


def rows_of_concepts(pool: Pool) -> dict[str, list[int]]:
    """Concept -> rows of the documents that carry it, ascending."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, concepts in enumerate(pool.concepts):
        for concept in set(concepts):
            found[concept].append(row)
    return found


def surface_forms(
    pool: Pool,
    fewest: int = FEWEST,
    precision: float = PRECISION,
    chance: float = 1.0,
    names: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, list[str]]:
    """Concept -> its forms, for concepts with two or more: its names, then phrases.

    A phrase of up to three words is a form where at least `fewest` captions hold it, a share of
    `precision` of them carries the concept, the probability of that many by chance is at most
    `chance`, it is in 5 % of the captions that carry the concept, and it shares no word with a name
    or with a more frequent phrase.
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
    held = counts[often][together.col]
    kept = together.data >= np.maximum(precision * held, COVERED * carried[together.row])
    # A frequent concept is in most captions of a rare phrase by chance.
    share = carried[together.row] / max(len(pool.concepts), 1)
    kept &= binom.sf(together.data - 1, held, share) <= chance
    texts = list(grams)
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for concept, gram, count in zip(
        together.row[kept].tolist(),
        together.col[kept].tolist(),
        together.data[kept].tolist(),
        strict=True,
    ):
        found[concepts[concept]].append((-count, texts[often[gram]]))
    forms = {
        concept: _distinct(names.get(concept, ()), found[concept])
        for concept in sorted({*names, *found})
    }
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


def _distinct(names: Sequence[str], forms: list[tuple[int, str]]) -> list[str]:
    """All names, then the most frequent forms that share no word with these; short ones first."""
    kept = list(names)
    said = set(chain.from_iterable(name.split() for name in names))
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
