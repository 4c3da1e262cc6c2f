"""No text changes what a query is: Vespa's own parser says so."""

from __future__ import annotations

from benchmarks.fuzz_queries import SHAPES, hostile, request, requests, shape, shape_of
from ranking.text.tokens import query_terms
from ranking.types import Query
from vespa_app.query.text import QueryText

MIXTURES = 120


def test_the_shape_of_a_query_does_not_follow_its_text(kit, package, application):
    asked = list(requests(hostile(MIXTURES, seed=0), application))
    answers = kit("yql", package, lines=[line for _, _, line in asked])
    assert len(answers) == len(asked) > 500
    for (meant, text, line), answer in zip(asked, answers, strict=True):
        assert answer["ok"], (text, answer)
        assert shape_of(line, answer["yql"]) == meant, (text, answer["yql"])
        if text.isascii() and meant in SHAPES[:3]:
            words = shape(answer["yql"])[1]
            assert words == len(query_terms(text)), (text, answer["yql"])


def test_operators_are_those_that_were_typed(kit, package, application):
    texts = ['+ct -"of the head" modality:ct -split:test ½', "+05 -000"]
    queries = [Query(text, profile="lexical", operators=True) for text in texts]
    answers = kit("yql", package, lines=[request(query, application) for query in queries])
    found, excluded = "(OR caption:ct caption:1 caption:2) caption:ct modality:ct", "-split:test"
    assert answers[-2]["query"] == f'+(AND {found}) {excluded} -caption:"of the head"'
    assert answers[-1]["query"] == "+(AND caption:5 caption:5) -caption:0"


def test_digits_beyond_the_basic_plane_are_numbers(kit, package, application):
    """Java reads a number from none of them; digits within a word it leaves alone."""
    texts = ["ct \U00011954", "\U00016a60\U00016a61", "4\U00011954 x", "a\U00011954"]
    queries = [Query(text, profile="lexical") for text in texts]
    answers = kit("yql", package, lines=[request(query, application) for query in queries])
    assert [answer["ok"] for answer in answers[-len(texts) :]] == [True] * len(texts)
    words = [QueryText.of(text).words for text in texts]
    assert words == ["ct 4", "01", "44 x", "a\U00011954"]
