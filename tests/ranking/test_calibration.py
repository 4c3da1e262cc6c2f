"""The probability that a hit is right: what it is made of, how it cuts, how it is kept."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ranking.calibration import NOT_ITS_OWN, SHORT, Calibration, CalibrationError, Evidence
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.types import Document, QueryError

WORDS, PICTURE = "bm25(caption)", "closeness(field,embedding)"
BOTH = Calibration(
    "",
    (
        Evidence(-1.0, {WORDS: 2.0}),
        Evidence(-5.0, {PICTURE: 6.0}),
        Evidence(-9.0, {WORDS: 2.0, PICTURE: 9.0}),
    ),
    cut=0.2,
)


def sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def test_each_hit_is_judged_by_the_evidence_it_has():
    features = {
        WORDS: np.array([4.0, 0.0, 0.0, 6.0]),
        PICTURE: np.array([0.9, 0.8, 0.7, 0.0]),
        "attribute(has_caption)": np.array([1.0, 1.0, 0.0, 1.0]),
    }
    found = BOTH.probabilities(features, 2)
    expected = [-9 + 4 + 9 * 0.9, -9 + 9 * 0.8, -5 + 6 * 0.7, -1 + 6]
    assert found == pytest.approx([sigmoid(each) for each in expected])


def test_more_evidence_is_never_less_probable():
    values = np.linspace(0.01, 30, 50)
    for name in (WORDS, PICTURE):
        found = BOTH.probabilities({name: values}, 3)
        assert (np.diff(found) >= 0).all()
        assert ((found >= 0) & (found <= 1)).all()


def test_without_evidence_nothing_is_told():
    assert BOTH.probabilities({"bm25(affirmed)": np.ones(2)}, 1) is None
    nothing = {PICTURE: np.zeros(1), "attribute(has_caption)": np.zeros(1), WORDS: np.zeros(1)}
    assert np.isnan(BOTH.probabilities(nothing, 1)).all()


def test_short_queries_have_their_own_where_there_is_one():
    short = replace(BOTH, cut=0.3)
    both = replace(BOTH, short=short)
    assert [both.of_query(terms) for terms in (1, SHORT, SHORT + 1)] == [short, short, both]
    assert BOTH.of_query(1) is BOTH


def test_it_is_kept_as_it_is(tmp_path):
    for made in (replace(BOTH, short=replace(BOTH, cut=0.3)), BOTH):
        made.save(tmp_path / "kept.json")
        assert Calibration.read(tmp_path / "kept.json") == made
    assert Calibration.read(tmp_path / "none.json") is None
    kept = (tmp_path / "kept.json").read_text()
    (tmp_path / "kept.json").write_text(kept.replace('"bias": -1', '"bias": -2', 1))
    with pytest.raises(CalibrationError, match="fit it again"):
        Calibration.read(tmp_path / "kept.json")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"models": [{"bias": "x"}]}', "null"])
def test_a_damaged_file_is_told(tmp_path, content):
    path = tmp_path / "calibration.json"
    path.write_text(content, "utf-8")
    with pytest.raises(CalibrationError, match="fit it again"):
        Calibration.read(path)


@pytest.fixture
def searcher() -> Searcher:
    captions = ["ring lesion of the chest", "ring", "chest film", "knee"]
    documents = [Document(f"d{n}", text) for n, text in enumerate(captions)]
    found = Searcher(EmbeddedEngine.in_memory(documents))
    found.calibration = BOTH
    return found


def test_hits_have_probabilities_and_a_cut_leaves_the_probable(searcher):
    found = searcher.search("ring lesion")
    assert found.ids == ("d0", "d1")
    expected = [sigmoid(-1 + 2 * score / 2) for score in found.scores]
    assert [hit.probability for hit in found] == pytest.approx(expected)
    assert not any("Nothing here" in each for each in found.warnings)
    middle = sum(expected) / 2
    cut = searcher.search("ring lesion", min_probability=middle)
    assert cut.ids == ("d0",)
    assert len(cut.documents) == len(cut.scores) == len(cut.probabilities) == 1
    assert all(len(values) == 1 for values in cut.features.values())


def test_nothing_looks_like_it(searcher):
    searcher.calibration = Calibration("", BOTH.models, cut=0.99)
    found = searcher.search("ring")
    assert found.ids
    assert "Nothing here looks like it: no hit is right with a probability of 0.99." in (
        found.warnings
    )
    assert not searcher.search("ring", offset=1).warnings
    assert searcher.search("ring", min_probability=0.99).ids == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "ring", "min_probability": 1.5}, "from 0 to 1"),
        ({"text": "ring", "min_probability": float("nan")}, "from 0 to 1"),
        ({"text": "+ring", "operators": True, "min_probability": 0.5}, "plain words"),
        (
            {"text": "ring", "profile": "lexical_affirmed", "min_probability": 0.5},
            "shows no feature",
        ),
    ],
)
def test_a_cut_that_cannot_be_made_is_refused(searcher, asked, said):
    with pytest.raises(QueryError, match=said):
        searcher.search(**asked)


def test_probabilities_of_another_index_are_not_used(tmp_path):
    """Also where the index is built again while it is open."""
    path = tmp_path / "index"
    documents = [Document(f"d{n}", text) for n, text in enumerate(["ring", "chest film", "knee"])]
    searcher = Searcher(EmbeddedEngine.build(path, documents))
    own = replace(BOTH, index=searcher.engine.index_id)

    def said(calibration: Calibration) -> bool:
        searcher.calibration = calibration
        found = searcher.search("ring")
        assert math.isnan(found.hits[0].probability) == (NOT_ITS_OWN in found.warnings)
        return NOT_ITS_OWN in found.warnings

    assert not said(own)
    assert said(replace(own, index="another"))
    assert said(BOTH)  # of an earlier version, which did not say of which index
    searcher.engine.feed([Document("d9", "ring lesion")])
    assert not said(own)
    EmbeddedEngine.build(path, documents)
    assert said(own)
    with pytest.raises(QueryError, match="rocosearch calibrate"):
        searcher.search("ring", min_probability=0.5)


def test_without_a_fit_there_is_no_probability(searcher):
    searcher.calibration = None
    assert math.isnan(searcher.search("ring").hits[0].probability)
    with pytest.raises(QueryError, match="rocosearch calibrate"):
        searcher.search("ring", min_probability=0.5)
    searcher.calibration = BOTH
    assert math.isnan(searcher.search("+ring", operators=True).hits[0].probability)
