"""A query as a request: what it says, and what is refused before it is sent."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ranking.types import Filter, Query, QueryError
from vespa_app.query.query import MAX_VALUES, search_request
from vespa_app.query.text import clean

UNIT = np.eye(24, dtype=np.float32)[0]


def body(query, application, **options):
    found = search_request(query, application, **{"hits": 10, **options}).body
    assert found is not None
    return found


def test_text_goes_as_a_parameter(application):
    found = body(Query("chest x-ray", profile="lexical"), application)
    assert found["text"] == "chest x-ray"
    assert found["yql"].endswith(
        'from image where ({grammar: "linguistics", grammar.composite: "or"}userInput(@text))'
    )
    assert found["ranking.profile"] == "lexical"
    assert found["language"] == "en"


def test_union_of_vector_and_text(application):
    encoder = application.encoders[0]
    query = Query("chest", UNIT, profile="hybrid", target_hits=7, with_documents=False)
    found = body(query, application)
    nearest = f"({{targetHits: 7}}nearestNeighbor({encoder.field.name}, {encoder.query}))"
    assert nearest + " or ({grammar" in found["yql"]
    sent = bytes.fromhex(found[f"input.query({encoder.query})"])
    np.testing.assert_array_equal(np.frombuffer(sent, ">f4"), UNIT)
    assert found["presentation.summary"] == "minimal"


def test_a_profile_of_another_encoder_uses_its_field(application):
    other = application.encoders[1]
    vector = np.eye(16, dtype=np.float32)[1]
    found = body(Query("", vector, profile=f"vector_{other.short}"), application)
    assert f"nearestNeighbor({other.field.name}, {other.query})" in found["yql"]


def test_text_is_embedded_inside_vespa_where_no_vector_is_given(application):
    encoder = application.encoders[0]
    found = body(Query("½ chest", profile="vector"), application)
    assert found[f"input.query({encoder.query})"] == f"embed({encoder.embedder}, @typed)"
    assert found["typed"] == "½ chest"
    with pytest.raises(QueryError, match="does not embed"):
        body(Query("chest", profile="vector"), application, embed=False)


def test_hybrid_without_a_vector_says_so(application):
    request = search_request(Query("chest"), application, hits=1, embed=False)
    assert "nearestNeighbor" not in request.body["yql"]
    assert "text alone" in request.warnings[0]


def test_words_that_only_score_stand_in_rank(application):
    found = body(Query("chest", UNIT, profile="image"), application)
    assert re.search(r"where rank\(\(\(\{targetHits.*\)\), \(\{grammar", found["yql"])


def test_operators_and_weakand_only_when_asked(application):
    plain = Query("a -b", profile="lexical")
    operators = Query("a -b", profile="lexical", operators=True)
    weak = Query("a -b", profile="lexical", matching="weakAnd", target_hits=9)
    found = body(operators, application)
    assert "userInput" not in found["yql"]
    assert re.search(r"@v0\)\) and !\(caption contains \(.*@v1\)\)\)$", found["yql"])
    assert (found["v0"], found["v1"]) == ("a", "b")
    assert '"linguistics", targetHits: 9}' in body(weak, application)["yql"]
    assert "grammar.composite" in body(plain, application)["yql"]


def test_filters_and_exclusions_are_parameters(application):
    query = Query(
        "chest",
        profile="lexical",
        filters=(
            Filter("modality", ("ct", 'x" or true')),
            Filter("concepts", ("C1",), exclude=True),
        ),
        exclude_ids=frozenset({"b", "a"}),
    )
    found = body(query, application)
    where = found["yql"].split(" where ")[1]
    assert where.startswith("(modality contains @v0 or modality contains @v1) and ({grammar")
    assert where.endswith("and !(concepts contains @v2) and !(id contains @v3 or id contains @v4)")
    assert [found[f"v{n}"] for n in range(5)] == ["ct", 'x" or true', "C1", "a", "b"]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_query_is_refused(application, text):
    with pytest.raises(QueryError, match="empty"):
        search_request(Query(text, profile="lexical"), application, hits=1)


@pytest.mark.parametrize("text", ["!!!", "- - -", "\x00"])
def test_text_without_a_word_finds_nothing_and_says_why(application, text):
    request = search_request(Query(text, profile="lexical"), application, hits=1)
    assert request.body is None
    assert "no letter" in request.warnings[0]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query("x", profile="nope"), "no rank profile 'nope'"),
        (Query("x", UNIT[:3]), r"shape \[3\]"),
        (Query("x", UNIT * np.float32("nan")), "NaN"),
        (Query("x", UNIT * 0), "zero"),
        (Query("x", UNIT * 2), "length 2"),
        (Query("x", inputs={"alpha": float("inf")}), "finite"),
        (Query("x", inputs={"beta": 1.0}), "no input beta.*alpha"),
        (Query("", UNIT, profile="lexical"), "needs a text"),
        (Query("x", timeout=0), "time-out"),
        (Query("x", timeout=float("nan")), "time-out"),
        (Query("x", k=-1), "0 or more"),
        (Query("x", target_hits=0), "at least"),
        (Query("x", hidden_captions=frozenset({"a"})), "hidden-caption"),
        (Query("x", group_by="concepts"), "several"),
        (Query("x" * 30_000), "30000 characters"),
        (Query("x", filters=(Filter("modality", ("",)),)), "blank value"),
        (Query("x", filters=(Filter("nope", ("a",)),)), "no field 'nope'"),
        (Query("x", exclude_ids=frozenset(map(str, range(MAX_VALUES + 1)))), "at most 1000"),
    ],
)
def test_what_is_refused(application, query, said):
    with pytest.raises(QueryError, match=said):
        search_request(query, application, hits=1)


@given(st.text(st.characters(codec=None), max_size=60))
def test_clean_text_has_neither_control_characters_nor_surrogates(text):
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert cleaned.encode("utf-8").isascii() == cleaned.isascii()
    assert clean(cleaned) == cleaned
