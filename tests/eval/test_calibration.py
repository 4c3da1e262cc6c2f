"""Fitting the probability that a hit is right, on captions of phantoms."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from eval.tuning.calibration import asked_of, calibrate, calibration_error, short_queries
from ingest.sources.phantom_captions import describe
from ingest.sources.phantoms import ATTRIBUTES
from ranking.calibration import SHORT, CalibrationError
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.text.tokens import query_terms
from ranking.types import Document

COMBINATIONS = list(itertools.product(*ATTRIBUTES.values()))[::7]


def phantoms(each: int, split: str, seed: int) -> list[Document]:
    """Of each combination `each` patients, whose captions are written one by one."""
    rng = np.random.default_rng(seed)
    return [
        Document(
            f"{split}-{number}-{patient}",
            describe(dict(zip(ATTRIBUTES, values, strict=True)), rng),
            concepts=tuple(f"{n}-{v}" for n, v in zip(ATTRIBUTES, values, strict=True)),
            split=split,
        )
        for number, values in enumerate(COMBINATIONS)
        for patient in range(each)
    ]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return phantoms(3, "validation", 0)


def test_probabilities_are_the_shares_of_right_hits(documents):
    """Fitted on one split, right on the captions of another that nobody saw."""
    searcher = Searcher(EmbeddedEngine.in_memory(documents))
    searcher.calibration = calibrate(searcher, documents)
    assert searcher.calibration.told["queries"] == len(documents)
    others = phantoms(1, "test", 1)
    chances, right = [], []
    for other in others:
        for hit in searcher.search(other.caption):
            chances.append(hit.probability)
            right.append(hit.document.concepts == other.concepts)
    assert calibration_error(np.array(chances), np.array(right)) < 0.05
    assert np.mean(right) < 0.5
    above = np.array(chances) > np.median(chances)
    assert np.array(right)[above].mean() > 2 * np.array(right)[~above].mean()


def test_who_carries_all_concepts_is_right_and_nobody_finds_itself(documents):
    asking = asked_of(documents, "validation")
    searcher = Searcher(EmbeddedEngine.in_memory(documents))
    results = asking.answers(searcher, "lexical")
    for document, result in zip(asking.documents, results, strict=True):
        assert document.id not in result.ids
        assert all(hit.caption != document.caption for hit in result.documents)
    assert asking.right(results).any()


def test_without_concepts_a_caption_loses_words_and_finds_itself(documents):
    bare = [replace(document, concepts=()) for document in documents[::3]]
    asking = asked_of(bare, "validation")
    assert asking.apart == ()
    results = asking.answers(Searcher(EmbeddedEngine.in_memory(bare)), "lexical")
    right = asking.right(results)
    assert right.sum() <= len(bare) < len(right)
    own = [d.id in result.ids for d, result in zip(asking.documents, results, strict=True)]
    assert np.mean(own) > 0.5


def test_short_queries_have_a_fit_of_their_own(documents):
    """Concepts that nobody asked for while fitting: as probable as they are right."""
    named = [
        replace(d, concept_names=tuple(c.split("-", 1)[1] for c in d.concepts))
        for d in documents[::4]
    ]
    every = short_queries(named)
    assert all(len(query_terms(text)) <= SHORT for text in every)
    away = sorted({concept for ids in every.values() for concept in ids})[::6]
    asking = [
        replace(
            d,
            concept_names=tuple(
                "" if concept in away else name
                for concept, name in zip(d.concepts, d.concept_names, strict=True)
            ),
        )
        for d in named
    ]
    searcher = Searcher(EmbeddedEngine.in_memory(asking))
    searcher.calibration = calibrate(searcher, asking)
    assert searcher.calibration.short
    assert not set(away) & set().union(*short_queries(asking).values())
    fits = (searcher.calibration, replace(searcher.calibration, short=None))
    for sizes, bound in ((range(1, 3), 0.2), (range(3, SHORT + 1), 0.1)):
        errors = []
        for fitted in fits:
            searcher.calibration = fitted
            chances, right = [], []
            for text, ids in every.items():
                if ids & set(away) and len(query_terms(text)) in sizes:
                    for hit in searcher.search(text):
                        chances.append(hit.probability)
                        right.append(ids <= set(hit.document.concepts))
            errors.append(calibration_error(np.array(chances), np.array(right)))
        assert errors[0] < bound < errors[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "test"}, "Split 'validation' of the index has 0 captions"),
        ({"caption": "ring lesion"}, "has 0 captions of 4 words"),
    ],
)
def test_too_few_captions_are_told(documents, change, said):
    changed = [replace(document, **change) for document in documents]
    with pytest.raises(CalibrationError, match=said):
        calibrate(Searcher(EmbeddedEngine.in_memory(changed)), changed)


def test_where_every_hit_is_right_there_is_nothing_to_tell_apart(documents):
    one = [replace(document, concepts=("a", "b", "c")) for document in documents]
    with pytest.raises(CalibrationError, match="all are right"):
        calibrate(Searcher(EmbeddedEngine.in_memory(one)), one)


@pytest.mark.parametrize("bins", [1, 10])
def test_the_calibration_error_of_exact_and_of_wrong_probabilities(bins):
    right = np.arange(1000) % 4 == 0
    assert calibration_error(np.full(1000, 0.25), right, bins) == pytest.approx(0)
    assert calibration_error(np.full(1000, 0.75), right, bins) == pytest.approx(0.5)
