"""No text changes what a query is: Vespa's own parser says so."""

from __future__ import annotations

from benchmarks.fuzz_queries import SHAPES, hostile, request, requests, shape
from ranking.text import query_terms
from ranking.types import Query

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


def test_no_text_with_operators_is_an_error(kit, package, application):
    texts = [*hostile(MIXTURES, seed=1), '+ct -"of the head" modality:ct -split:test ½', "+05 -000"]
    asked = [
        (text, line)
        for text in texts
        if (line := request(Query(text, profile="lexical", operators=True), application))
    ]
    answers = kit("yql", package, lines=[line for _, line in asked])
    assert len(answers) == len(asked) > 80
    for (text, _), answer in zip(asked, answers, strict=True):
        assert answer["ok"], (text, answer)
    found, excluded = "(OR caption:ct caption:1 caption:2) caption:ct modality:ct", "-split:test"
    assert answers[-2]["query"] == f'+(AND {found}) {excluded} -caption:"of the head"'
    assert answers[-1]["query"] == "+(AND caption:5 caption:5) -caption:0"
