"""What the searcher does with any engine: examples, and why a document stands where it does."""

from __future__ import annotations

import pytest

from ranking.searcher import Searcher
from ranking.types import Filter
from rocosearch.explain import looked_by, sentence, why
from tests.engine_contract.test_contract import DOCUMENTS, FIELD, PROFILES


@pytest.fixture
def searcher(make_engine):
    return Searcher(make_engine(DOCUMENTS, [FIELD], PROFILES), embeds=True)


def test_examples_draw_near_and_push_away(searcher):
    near = searcher.search(like=("a1",), profile="vector", k=8)
    assert near.ids[:2] == ("a2", "c3")
    pushed = searcher.search(like=("a1",), unlike=("a2",), profile="vector", k=8)
    assert pushed.ids[0] == "c3"
    assert {"a1", "a2"}.isdisjoint(pushed.ids)


def test_a_rank_is_explained(searcher):
    asked = {"text": "chest effusion", "profile": "lexical", "k": 2}
    ids = searcher.search(**asked | {"k": 8}).ids
    told = [why(searcher, name, **asked) for name in ids]
    assert [(each["verdict"], each["rank"]) for each in told] == [
        ("matched", rank) for rank in range(1, len(ids) + 1)
    ]
    assert sentence(told[1]) == f"{ids[1]}: It is at rank 2."
    missed = why(searcher, "c1", **asked)
    assert sentence(missed, looked_by(searcher, **asked)) == "c1: It contains no word of the query."
    by_both = looked_by(searcher, text="chest", profile="hybrid")
    assert sentence(missed, by_both).endswith("no word of the query, and it has no vector.")
    assert looked_by(searcher, like=("a1",), profile="hybrid") == ("vector",)
    for name, verdict, more in (
        ("nobody", "absent", {}),
        ("c1", "not matched", {}),
        ("a1", "filtered", {"filters": (Filter("modality", ("ct",)),)}),
        (ids[-1], "cut", {"min_score": told[0]["score"]}),
    ):
        assert why(searcher, name, **asked, **more)["verdict"] == verdict
