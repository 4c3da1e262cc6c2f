"""No text changes what a query is: Vespa's own parser says so."""

from __future__ import annotations

from benchmarks.fuzz_queries import SHAPES, hostile, requests, shape
from ranking.text import query_terms

MIXTURES = 120


def test_the_shape_of_a_query_does_not_follow_its_text(kit, package, application):
    asked = list(requests(hostile(MIXTURES, seed=0), application))
    answers = kit("yql", package, lines=[line for _, _, line in asked])
    assert len(answers) == len(asked) > 500
    for (kind, text, _), answer in zip(asked, answers, strict=True):
        assert answer["ok"], (text, answer)
        found, words = shape(answer["yql"])
        assert found == SHAPES[kind], (text, answer["yql"])
        if text.isascii() and kind < 3:
            assert words == len(query_terms(text)), (text, answer["yql"])
