"""Two engines compared: equal ones agree, and each cause of difference is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.engine.engine import EmbeddedEngine
from ranking.types import Document
from rocosearch.live_parity import CAUSES, ParityError, compare_engines

WORDS = ("left", "right", "chest", "head", "mass", "cyst", "large", "small", "upper", "lower")


def _documents(count: int = 60) -> list[Document]:
    captions = (
        " ".join(WORDS[(n * step + step) % len(WORDS)] for step in range(1, 4 + n % 3))
        for n in range(count)
    )
    return [Document(f"d{n:03d}", caption) for n, caption in enumerate(captions)]


def test_equal_engines_agree():
    engine = EmbeddedEngine.in_memory(_documents())
    parity = compare_engines(engine, EmbeddedEngine.in_memory(_documents()), profiles=["lexical"])
    (lexical,) = parity.profiles
    assert lexical.overlap == {10: 1.0, 100: 1.0}
    assert lexical.correlation == pytest.approx(1.0)
    assert max(lexical.differences.values()) == 0
    assert not lexical.causes
    assert parity.only_first == parity.only_second == (0, ())


def test_other_statistics_are_named():
    more = [*_documents(), *(Document(f"x{n}", "pelvis") for n in range(40))]
    parity = compare_engines(
        EmbeddedEngine.in_memory(_documents()),
        EmbeddedEngine.in_memory(more),
        profiles=["lexical"],
    )
    assert parity.only_second[0] == 40
    assert parity.profiles[0].causes
    assert set(parity.profiles[0].causes) <= set(CAUSES)
    assert any("bm25" in cause for cause, _ in parity.explained(parity.profiles[0]))


def test_other_tokens_are_named():
    changed = [
        replace(document, caption=f"{document.caption} left left") if n % 7 == 0 else document
        for n, document in enumerate(_documents())
    ]
    parity = compare_engines(
        EmbeddedEngine.in_memory(_documents()),
        EmbeddedEngine.in_memory(changed),
        profiles=["lexical"],
    )
    assert parity.profiles[0].causes["tokens"]


class Altered:
    """An engine whose answers are changed on their way."""

    def __init__(self, change):
        self.engine = EmbeddedEngine.in_memory(_documents())
        self.change = change

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def search_many(self, queries):
        return [self.change(answer) for answer in self.engine.search_many(queries)]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda r: replace(r, scores=r.scores * np.nan), "profile"),
        (lambda r: replace(r, scores=r.scores + 1), "profile"),
        (lambda r: replace(r, ids=(*r.ids[:-1], r.ids[0])), "list"),
        (lambda r: replace(r, ids=r.ids[::-1], scores=r.scores[::-1]), "list"),
    ],
    ids=["NaN", "other scores", "a hit twice", "worst first"],
)
def test_what_else_is_wrong_with_an_answer_is_named(change, cause):
    engine = EmbeddedEngine.in_memory(_documents())
    parity = compare_engines(engine, Altered(change), profiles=["lexical"])
    assert parity.profiles[0].causes[cause]


def test_scores_that_are_no_numbers_agree_with_none():
    nothing = Altered(lambda r: replace(r, scores=r.scores * np.nan))
    engine = EmbeddedEngine.in_memory(_documents())
    (lexical,) = compare_engines(engine, nothing, profiles=["lexical"]).profiles
    assert lexical.correlation == 0.0
    assert lexical.differences["relevance"] == 1.0


def test_nothing_in_common_is_refused():
    here = EmbeddedEngine.in_memory(_documents())
    there = EmbeddedEngine.in_memory([Document("other", "left chest")])
    with pytest.raises(ParityError, match="no captioned document in common"):
        compare_engines(here, there)
    with pytest.raises(ParityError, match="hybird"):
        compare_engines(here, here, profiles=["hybird"])
