"""What the live suite sends for each feature is understood by Vespa's own code.

The suite runs against its stand-in, which records packages and requests. `python -m
tests.live.stand_in` does the same with the whole suite.
"""

from __future__ import annotations

import json

import pytest

from tests.live.kit import Checked, Kit, check_recorded
from tests.live.stand_in import run_suite, stand_in

# MaxSim and the re-ranker are asked in test_studies_in_vespa.py and test_reranker_in_vespa.py.
SUITE = "tests/live/test_with_everything.py"
# What at least one request must hold, so that no feature stays away unseen. The client sorts and
# groups the matches itself: these requests are like others.
FEATURES = {
    "a range of an own number": "range(age, ",
    "an own date": "range(seen, ",
    "words of an own field": "findings contains ",
    "a filter": "(modality contains @",
    "a negated filter": "!(site contains @",
    "facets": "all(group(age) ",
    "negation": '"ranking.profile": "lexical_affirmed"',
    "synonyms": "significance: ",
    "a cut": "distanceThreshold: ",
    "several vectors of a document": "nearestNeighbor(frames_",
    "the caption's vector": "nearestNeighbor(caption_embedding_",
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> Checked:
    record = tmp_path_factory.mktemp("recorded")
    with stand_in(record) as url:
        assert run_suite(url, SUITE, "-q", "-p", "no:xdist", "-p", "no:cacheprovider") == 0
    return check_recorded(record, kit)


def test_nothing_is_refused(checked: Checked) -> None:
    assert checked.refused == ()
    assert checked.packages >= 3  # before, during and after a swap


@pytest.mark.parametrize("feature", FEATURES)
def test_the_feature_was_asked_for(checked: Checked, feature: str) -> None:
    requests = [json.dumps(body, ensure_ascii=False) for body in checked.requests]
    assert any(FEATURES[feature] in request for request in requests)
