"""What every engine must do, told by a handful of documents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking.attributes import read_condition
from ranking.calibration import Calibration, Evidence
from ranking.names import encoder_names
from ranking.profiles.profile import Profile
from ranking.profiles.shipped import SHIPPED, ProfileSet
from ranking.types import (
    Attribute,
    Document,
    EngineError,
    Filter,
    Query,
    QueryError,
    Sort,
    VectorField,
)
from vespa_app.engine import VespaEngine
from vespa_app.query.query import search_request

FINGERPRINT = "1a2b3c4d" * 8
NAMES = encoder_names(FINGERPRINT)
FIELD = VectorField(NAMES.embedding, 4, FINGERPRINT)
PROFILES = SHIPPED.instantiate(NAMES)
CLOSENESS = f"closeness(field,{NAMES.embedding})"


def vector(*numbers: float) -> np.ndarray:
    found = np.array(numbers, np.float32)
    return np.float32(found / np.linalg.norm(found))


def image(identifier: str, caption: str | None, *numbers: float, **fields: object) -> Document:
    vectors = {NAMES.embedding: vector(*numbers)} if numbers else {}
    return Document(identifier, caption, vectors, **fields)


DOCUMENTS = [
    image("a1", "Chest x-ray with effusion", 1, 0, 0, 0, modality="xray", group_id="g1"),
    image("a2", "Chest x-ray, normal", 0.9, 0.1, 0, 0, modality="xray", group_id="g1"),
    image("b1", "CT of the chest with effusion", 0, 1, 0, 0, modality="ct", group_id="g2"),
    image("b2", "CT of the head", 0, 0.9, 0.1, 0, modality="ct", group_id="g2", concepts=("C1",)),
    image("c1", "MRI of the brain", 0, 0, 1, 0, modality="mri", group_id="g3", concepts=("C1",)),
    image("c2", "Words without an image: chest", modality="other", group_id="g4"),
    image("c3", None, 0.7, 0.7, 0, 0, modality="other", group_id="g5", source="roco"),
    image("c4", "", 0, 0, 0, 1, modality="other", group_id="g6", licence="cc", split="test"),
]


@pytest.fixture
def engine(make_engine):
    return make_engine(DOCUMENTS, [FIELD], PROFILES)


def ask(engine, text="", numbers=(), **options):
    return engine.search(Query(text, vector(*numbers) if numbers else None, **options))


def test_counts_ids_and_documents(engine):
    assert engine.count() == len(DOCUMENTS)
    assert sorted(engine.ids()) == sorted(document.id for document in DOCUMENTS)
    found = engine.get("b2")
    assert (found.caption, found.concepts, found.modality) == ("CT of the head", ("C1",), "ct")
    np.testing.assert_allclose(found.vectors[NAMES.embedding], vector(0, 0.9, 0.1, 0), rtol=1e-6)
    assert engine.get("zz") is None


def test_info_names_fields_and_profiles(engine):
    info = engine.info()
    assert info.documents == len(DOCUMENTS)
    assert info.vector_fields == (FIELD,)
    assert {"lexical", "vector", "hybrid"} <= set(info.profiles)
    assert info.default_profile in info.profiles
    assert info.text_profiles == ("lexical", "lexical_affirmed", "lexical_pseudo")


def test_lexical_finds_every_document_with_a_word(engine):
    result = ask(engine, "effusion chest", profile="lexical")
    assert set(result.ids[:2]) == {"a1", "b1"}
    assert set(result.ids) == {"a1", "a2", "b1", "c2"}
    assert result.total == 4
    assert all(hit.score == hit.features["bm25(caption)"] > 0 for hit in result)


def test_vector_finds_the_nearest(engine):
    result = ask(engine, numbers=(1, 0, 0, 0), profile="vector", k=2)
    assert result.ids == ("a1", "a2")
    assert result.scores[0] == pytest.approx(1.0, abs=1e-6)
    assert all(hit.score == pytest.approx(hit.features[CLOSENESS]) for hit in result)


def test_target_hits_limit_what_the_vector_finds(engine):
    result = ask(engine, numbers=(1, 0, 0, 0), profile="vector", target_hits=2, k=8)
    assert result.ids[:2] == ("a1", "a2")


def test_hybrid_unites_both(engine):
    result = ask(engine, "brain", (1, 0, 0, 0), profile="hybrid_sum", k=8, target_hits=2)
    assert {"a1", "a2", "c1"} <= set(result.ids)
    by_id = {hit.id: hit for hit in result}
    assert by_id["a1"].features["bm25(caption)"] == 0
    assert by_id["c1"].features[CLOSENESS] == pytest.approx(0.5, abs=1e-6)
    assert list(result.scores) == sorted(result.scores, reverse=True)


def test_a_hybrid_profile_serves_a_query_with_one_half(engine):
    assert "c1" in ask(engine, "brain", profile="hybrid_sum").ids
    assert ask(engine, numbers=(1, 0, 0, 0), profile="hybrid_sum").ids[0] == "a1"


@pytest.mark.parametrize("profile", sorted(PROFILES.names()))
def test_every_shipped_profile_answers(engine, profile):
    result = ask(engine, "chest effusion", (1, 0, 0, 0), profile=profile, k=5)
    assert len(result) == 5 or profile.startswith("lexical")
    assert np.isfinite(result.scores).all()
    assert list(result.scores) == sorted(result.scores, reverse=True)


@pytest.mark.parametrize("profile", ["hybrid", "hybrid_atan", "hybrid_linear", "hybrid_rrf"])
@pytest.mark.parametrize(
    ("text", "numbers"), [("chest", ()), ("", (1, 0, 0, 0)), ("...", (1, 0, 0, 0))]
)
def test_half_a_query_gives_nothing_for_what_a_document_lacks(engine, profile, text, numbers):
    found = ask(engine, text, numbers, profile=profile)
    expected = ask(engine, text, numbers, profile=profile, inputs={"missing": 0.0})
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.scores, expected.scores)


def test_ties_come_by_ascending_id(make_engine):
    documents = [image(f"t{n}", "the same words") for n in (3, 1, 2, 0)]
    engine = make_engine(documents, [FIELD], PROFILES)
    assert ask(engine, "same words", profile="lexical", k=3).ids == ("t0", "t1", "t2")


def test_ties_at_the_edge_of_target_hits_go_to_the_lower_ids(engine):
    if isinstance(engine, VespaEngine):
        return  # which of equal documents a server retrieves is its own affair
    for group in ((9, 3, 7), (1, 8, 2)):  # two segments
        engine.feed([image(f"t{n}", "tied", 0, 0, 0, 1, modality="same") for n in group])
    kept = {"target_hits": 3, "k": 9, "filters": (Filter("modality", ("same",)),)}
    near = ask(engine, numbers=(0, 0, 0, 1), profile="vector", **kept)
    assert near.ids == ("t1", "t2", "t3")
    words = ask(engine, "tied", profile="lexical", matching="weakAnd", **kept)
    assert words.ids == ("t1", "t2", "t3")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((Filter("modality", ("ct",)),), {"b1"}),
        ((Filter("modality", ("ct", "xray")),), {"a1", "a2", "b1"}),
        ((Filter("modality", ("ct",), exclude=True),), {"a1", "a2", "c2"}),
        ((Filter("group_id", ("g1",), exclude=True), Filter("modality", ("xray",))), set()),
        ((Filter("id", ("a1", "c2")),), {"a1", "c2"}),
        ((Filter("modality", ("nothing such",)),), set()),
    ],
)
def test_filters_of_a_text_query(engine, filters, expected):
    assert set(ask(engine, "chest", profile="lexical", filters=filters).ids) == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("concepts", "C1", {"b2", "c1"}),
        ("source", "roco", {"c3"}),
        ("licence", "cc", {"c4"}),
        ("split", "test", {"c4"}),
    ],
)
def test_filters_stand_before_the_nearest_are_chosen(engine, field, value, expected):
    result = ask(
        engine,
        numbers=(1, 0, 0, 0),
        profile="vector",
        filters=(Filter(field, (value,)),),
        target_hits=2,
    )
    assert set(result.ids) == expected


def test_excluded_ids_do_not_appear(engine):
    result = ask(engine, "chest", (1, 0, 0, 0), exclude_ids=frozenset({"a1", "zz"}), k=8)
    assert "a1" not in result.ids
    assert "a2" in result.ids


@pytest.mark.parametrize("expression", ["bm25(caption) / 0", "0 / 0 * bm25(caption)", "log(-1)"])
def test_a_profile_of_which_no_score_is_a_number_warns(make_engine, expression):
    odd = Profile(name="odd", first_phase=expression, retrieve=("text",))
    engine = make_engine(DOCUMENTS, [FIELD], replace(PROFILES, profiles=(*PROFILES.profiles, odd)))
    result = ask(engine, "chest", profile="odd")
    assert len(result) == 4
    assert result.warnings == (
        "No score of profile odd is a finite number: check its expressions.",
    )
    assert ask(engine, "chest", profile="lexical").warnings == ()


def test_a_hidden_caption_scores_nothing_and_leaves_the_others_alone(engine):
    if isinstance(engine, VespaEngine):  # a server cannot, and says so
        with pytest.raises(QueryError, match="cannot hide captions"):
            ask(engine, "chest", profile="lexical", hidden_captions=frozenset({"a1"}))
        return
    plain = ask(engine, "chest", profile="lexical")
    hidden = ask(engine, "chest", profile="lexical", hidden_captions=frozenset({"a1"}))
    assert "a1" not in hidden.ids
    kept = dict(zip(plain.ids, plain.scores, strict=True))
    assert all(kept[i] == pytest.approx(s) for i, s in zip(hidden.ids, hidden.scores, strict=True))


def test_grouping_keeps_the_best_of_each(engine):
    result = ask(engine, "chest", (1, 0, 0, 0), profile="hybrid_sum", group_by="group_id", k=8)
    groups = [engine.get(i).group_id for i in result.ids]
    assert len(groups) == len(set(groups)) == 6


def test_a_querys_inputs_override_the_profiles(engine):
    profile = PROFILES.resolve("hybrid")
    name, default = next(iter(profile.inputs.items()))
    query = {"text": "chest", "numbers": (0, 1, 0, 0), "profile": "hybrid"}
    same = ask(engine, **query, inputs={name: default})
    other = ask(engine, **query, inputs={name: default * 0.5 + 0.1})
    np.testing.assert_allclose(ask(engine, **query).scores, same.scores)
    assert not np.allclose(same.scores, other.scores)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"text": "chest", "profile": "no such"}, "no such"),
        ({"text": "chest", "inputs": {"no_such": 1.0}}, "no_such"),
        ({"text": "chest", "numbers": (1, 0)}, "vector"),
        ({"text": "", "numbers": ()}, "empty"),
        ({"text": " \n", "numbers": ()}, "empty"),
        ({"text": "chest", "profile": "vector"}, "vector"),
        ({"text": "chest", "timeout": 0.0}, "time-out"),
    ],
)
def test_a_query_at_fault_is_refused_in_a_sentence(engine, options, reason):
    with pytest.raises(QueryError, match=reason):
        ask(engine, **options)


@pytest.mark.parametrize("text", ["zebra", "!?", "---"])
def test_no_known_word_finds_nothing_and_says_so(engine, text):
    result = ask(engine, text, profile="lexical")
    assert result.ids == ()
    assert result.warnings


@pytest.mark.parametrize(
    "text", ['"chest', "chest*", "-chest", "caption:chest", "(chest", "½ chest", "chest OR"]
)
def test_what_a_person_types_is_never_an_operator(engine, text):
    assert "a1" in ask(engine, text, profile="lexical").ids


def test_k_may_be_larger_than_the_corpus_or_zero(engine):
    assert len(ask(engine, "chest", profile="lexical", k=10_000)) == 4
    assert len(ask(engine, "chest", profile="lexical", k=0)) == 0


def test_documents_come_with_hits_unless_not_wanted(engine):
    result = ask(engine, "brain", profile="lexical")
    assert result.hits[0].document.caption == "MRI of the brain"
    assert ask(engine, "brain", profile="lexical", with_documents=False).documents == ()


def test_many_queries_give_what_each_gives(engine):
    """Of several profiles, halves of a query, filters and grouping in one call, in any order."""
    queries = [
        Query("chest", profile="lexical"),
        Query("", vector(1, 0, 0, 0), profile="vector"),
        Query("effusion", vector(0, 1, 0, 0), profile="hybrid", k=3),
        Query("effusion", profile="hybrid"),
        Query("", vector(0, 1, 0, 0), profile="hybrid"),
        Query("head", vector(0, 1, 0, 0), filters=(Filter("modality", ("ct",)),)),
        Query("chest", vector(1, 0, 0, 0), exclude_ids=frozenset({"a1"})),
        Query("chest", vector(1, 0, 0, 0), group_by="group_id"),
        Query("zebra", profile="lexical"),
    ] * 3
    # A first query on a machine compiles for longer than the usual time-out, which it says.
    queries = [replace(query, timeout=600.0) for query in queries]
    for one, many in zip(map(engine.search, queries), engine.search_many(queries), strict=True):
        assert one.ids == many.ids
        np.testing.assert_allclose(one.scores, many.scores, rtol=1e-6)
        assert one.features.keys() == many.features.keys()
        for name, values in one.features.items():
            np.testing.assert_allclose(values, many.features[name], rtol=1e-6)
        assert (one.total, one.warnings) == (many.total, many.warnings)


def test_one_query_at_fault_among_many_is_refused_in_a_sentence(engine):
    with pytest.raises(QueryError, match="empty"):
        engine.search_many([Query("chest", profile="lexical"), Query("", profile="lexical")])


def test_a_query_beyond_its_time_is_an_error_or_says_so(engine):
    late = Query("chest", profile="lexical", timeout=1e-9)
    if isinstance(engine, VespaEngine):
        with pytest.raises(EngineError, match="timed out"):
            engine.search(late)
        return
    for result in (engine.search(late), *engine.search_many([late])):
        assert result.coverage.full
        assert any("longer than its time-out" in warning for warning in result.warnings)
    assert not engine.search(replace(late, timeout=600.0)).warnings


def test_feeding_replaces_and_removing_removes(engine):
    report = engine.feed([image("a1", "A zebra"), image("new", "A zebra", 1, 0, 0, 0)])
    assert (report.ok, report.failed) == (2, ())
    assert set(ask(engine, "zebra", profile="lexical").ids) == {"a1", "new"}
    assert "a1" not in ask(engine, "effusion", profile="lexical").ids
    assert ask(engine, numbers=(1, 0, 0, 0), profile="vector").ids[0] == "new"
    assert engine.remove(["a1", "new", "never there"]) == 2
    assert engine.count() == len(DOCUMENTS) - 1
    assert ask(engine, "zebra", profile="lexical").ids == ()


def test_an_update_changes_vectors_only(engine):
    report = engine.update([image("c2", "ignored", 1, 0, 0, 0), image("zz", None, 1, 0, 0, 0)])
    assert report.ok == 1
    assert [identifier for identifier, _ in report.failed] == ["zz"]
    assert ask(engine, numbers=(1, 0, 0, 0), profile="vector").ids[:2] == ("a1", "c2")
    assert engine.get("c2").caption == "Words without an image: chest"
    assert engine.count() == len(DOCUMENTS)


def test_a_document_that_cannot_be_stored_is_reported_and_the_others_are_fed(engine):
    report = engine.feed(
        [
            Document("short", "x", {NAMES.embedding: np.float32([1, 0])}),
            Document("nan", "x", {NAMES.embedding: np.float32([np.nan, 0, 0, 0])}),
            Document("", "x"),
            image("good", "zebra"),
        ]
    )
    assert report.ok == 1
    assert [identifier for identifier, _ in report.failed] == ["short", "nan", ""]
    assert ask(engine, "zebra", profile="lexical").ids == ("good",)


WRONG_DOCUMENTS = [
    None,
    {"id": "bad"},
    Document(7, "x"),
    Document("bad", 5),
    Document("bad", b"x"),
    Document("bad", "x", modality=None),
    Document("bad", "x", concepts="C1"),
    Document("bad", "x", concepts=(1,)),
    Document("bad", "x", concept_names=("\ud800",)),
    Document("bad", "x", None),
    Document("bad", "x", labelled=[1]),
    Document("bad", "x", labelled={NAMES.embedding: 5}),
    Document("bad", "x", labelled={NAMES.embedding: {5: np.ones(4)}}),
    Document("bad", "x", {NAMES.embedding: None}),
    Document("bad", "x", {NAMES.embedding: ["a", "b", "c", "d"]}),
    Document("bad", "x", {NAMES.embedding: [[1], [1, 2]]}),
    Document("bad", "x", {NAMES.embedding: np.array([1j, 0, 0, 0])}),
    Document("bad", "x", {NAMES.embedding: np.array([1e300, 0, 0, 0])}),
]


def test_one_document_of_wrong_types_never_fails_its_batch(engine):
    for bad in WRONG_DOCUMENTS:
        report = engine.feed([image("before", "zebra"), bad, image("after", "zebra")])
        assert (report.ok, len(report.failed)) == (2, 1), bad
        assert len(engine.update([bad]).failed) == 1
    assert ask(engine, "zebra", profile="lexical", k=9).ids == ("after", "before")


def test_one_thing_in_place_of_several_is_refused_in_a_sentence(engine):
    for wrong in (5, None, DOCUMENTS[0], "a1"):
        with pytest.raises(EngineError, match="Give a list of documents"):
            engine.feed(wrong)
        with pytest.raises(EngineError, match="Give a list of documents"):
            engine.update(wrong)
        with pytest.raises(EngineError, match="Give a list of ids"):
            engine.remove(wrong)
    assert engine.remove([5, None]) == 0
    assert engine.count() == len(DOCUMENTS)


WRONG_QUERIES = [
    {"text": None},
    {"text": b"chest"},
    {"text": "chest", "profile": ["lexical"]},
    {"text": "chest", "k": "5"},
    {"text": "chest", "inputs": [1]},
    {"text": "chest", "inputs": {"alpha": "1"}},
    {"text": "chest", "filters": {"modality": "ct"}},
    {"text": "chest", "filters": ("modality",)},
    {"text": "chest", "exclude_ids": "a1"},
    {"text": "chest", "facets": "modality"},
    {"text": "chest", "sort": "modality"},
    {"text": "chest", "group_by": 5},
    {"text": "chest", "timeout": "1"},
    {"text": "chest", "matching": "and"},
    {"vector": "abcd"},
    {"vector": np.array([1e300, 0, 0, 0])},
    {"vector": [[1], [1, 2]]},
    {"vectors": [1]},
    {"vectors": {NAMES.embedding: ["a"]}},
]


def test_a_query_of_wrong_types_is_refused_in_a_sentence(engine):
    for options in WRONG_QUERIES:
        with pytest.raises(QueryError) as told:
            engine.search(Query(**options))
        assert not str(told.value).startswith(("'", "<")), options
        with pytest.raises(QueryError, match="Ask with a Query"):
            engine.search(options)


def test_a_document_whose_caption_is_hidden_ranks_as_one_without(engine):
    if isinstance(engine, VespaEngine):
        return
    vector, hidden = (1, 0, 0, 0), frozenset({"a1"})
    plain = ask(engine, "chest", vector, profile="hybrid", k=8)
    found = ask(engine, "chest", vector, profile="hybrid", k=8, hidden_captions=hidden)
    for result, expected in ((plain, 1.0), (found, 0.0)):
        row = result.ids.index("a1")
        assert result.features["attribute(has_caption)"][row] == expected
    assert found.features["bm25(caption)"][found.ids.index("a1")] == 0.0


def test_negated_words_are_not_found_among_the_affirmed(make_engine):
    documents = [
        image("n1", "Chest CT with effusion."),
        image("n2", "Chest CT without effusion."),
        image("n3", "No effusion before; effusion after."),
    ]
    engine = make_engine(documents, [FIELD], PROFILES)
    assert set(ask(engine, "effusion", profile="lexical").ids) == {"n1", "n2", "n3"}
    found = ask(engine, "effusion", profile="lexical_affirmed")
    assert set(found.ids) == {"n1", "n3"}
    weighed = ask(engine, "effusion", profile="lexical_affirmed", inputs={"negated": -0.5})
    assert weighed.ids == ("n1", "n3")
    assert weighed.scores[1] < found.scores[found.ids.index("n3")]


def test_what_is_predicted_has_fields_of_its_own(make_engine):
    documents = [
        image("p1", None, pseudo_caption="effusion on the left", predicted_concepts=("C2", "C1")),
        image("p2", "Chest CT with effusion.", predicted_concepts=("C1",)),
        image("p3", "", pseudo_caption="knee"),
    ]
    engine = make_engine(documents, [FIELD], PROFILES)
    assert set(ask(engine, "effusion", profile="lexical").ids) == {"p2"}
    assert ask(engine, "effusion", profile="lexical_pseudo").ids == ("p1",)
    predicted = (Filter("predicted_concepts", ("C1",)),)
    assert ask(engine, "effusion", profile="lexical_pseudo", filters=predicted).ids == ("p1",)
    assert ask(engine, "effusion", profile="lexical", filters=predicted).ids == ("p2",)
    found = engine.get("p1")
    assert found.pseudo_caption == "effusion on the left"
    assert found.predicted_concepts == ("C2", "C1")
    assert found.concepts == ()


OWN = (
    Attribute("age", "int"),
    Attribute("dose", "float"),
    Attribute("seen", "date"),
    Attribute("site", "keyword"),
    Attribute("portable", "bool"),
    Attribute("findings", "text"),
)


def case(identifier: str, **values: object) -> Document:
    values = {"portable": False, **values}
    return Document(identifier, "chest image", modality="ct", attributes=values)


CASES = [
    case("a", age=30, dose=0.5, seen="2018-12-31", site="North", findings="Left pleural effusion"),
    case("b", age=60, dose=1.5, seen="2019-01-01", site="north", portable=True),
    case("c", age=61, seen="2019-01-02", site="East", findings="No pleural fluid; effusion left"),
    case("d", dose=-2.25, findings="effusions"),
    case("e", age=-1, dose=2.0**60, seen="1969-07-20", site="East", portable=True),
]


@pytest.fixture
def cases(make_engine):
    return make_engine(CASES, [FIELD], PROFILES, attributes=OWN)


def found(engine, *conditions, **options):
    filters = tuple(read_condition(each.lstrip("!"), exclude=each[0] == "!") for each in conditions)
    return ask(engine, "chest", profile="lexical", filters=filters, **options).ids


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["age>=60"], "bc"),
        (["age>60"], "c"),
        (["age<60"], "ae"),
        (["age<=60"], "abe"),
        (["age=60"], "b"),
        (["age=30..60"], "ab"),
        (["age=..30"], "ae"),
        (["age=61.."], "c"),
        (["!age>=60"], "ade"),
        (["age=-1"], "e"),
        (["dose>0.5"], "be"),
        (["dose>=0.5", "dose<1e6"], "ab"),
        (["dose=-2.25"], "d"),
        (["dose=-3..0.5"], "ad"),
        (["seen>=2019-01-01"], "bc"),
        (["seen>2019-01-01"], "c"),
        (["seen<1970-01-01"], "e"),
        (["seen=2018-12-31..2019-01-01"], "ab"),
        (["seen=20190102"], "c"),
        (["site=North"], "a"),
        (["!site=East"], "abd"),
        (["portable=true"], "be"),
        (["portable=no"], "acd"),
        (["findings=effusion"], "acd"),
        (["findings=pleural effusion"], "a"),
        (["!findings=effusions"], "be"),
        (["age>=30", "portable=true"], "b"),
    ],
)
def test_fields_of_ones_own_filter_by_value_and_range(cases, conditions, expected):
    assert "".join(sorted(found(cases, *conditions))) == expected


def test_values_of_ones_own_come_back_as_they_were_fed(cases):
    for document in CASES:
        assert cases.get(document.id).attributes == document.attributes
    shown = {hit.id: hit.document.attributes for hit in ask(cases, "chest", profile="lexical")}
    assert shown == {document.id: document.attributes for document in CASES}
    assert cases.info().attributes == OWN


@pytest.mark.parametrize(
    ("field", "ascending", "descending"),
    [("age", "eabcd", "cbaed"), ("dose", "dabec", "ebadc"), ("seen", "eabcd", "cbaed")],
)
def test_numbers_and_dates_sort_and_missing_ones_come_last(cases, field, ascending, descending):
    assert "".join(found(cases, sort=Sort(field))) == ascending
    assert "".join(found(cases, sort=Sort(field, descending=True))) == descending


def test_hits_without_a_value_are_no_group(make_engine):
    """Images without a study, say: each is shown."""
    some = [*CASES, case("f", site="East"), case("g"), case("h", age=30)]
    engine = make_engine(some, [FIELD], PROFILES, attributes=OWN)
    without = {document.id for document in some if "site" not in document.attributes}
    shown = found(engine, group_by="site", k=20)
    assert without < set(shown)
    assert len(shown) == len(without) + len({"North", "north", "East"})
    ages = [document.attributes.get("age") for document in some]
    shown = found(engine, group_by="age", k=20)
    assert len(shown) == ages.count(None) + len(set(ages) - {None})


def test_fields_of_ones_own_group_and_count(cases):
    assert len(found(cases, group_by="site")) == 4
    assert len(found(cases, group_by="portable")) == 2
    assert len(found(cases, group_by="age")) == 5
    fields = ("site", "portable", "age", "seen")
    counts = ask(cases, "chest", profile="lexical", facets=fields, k=1).facets
    assert counts["site"] == {"East": 2, "North": 1, "north": 1}
    assert counts["portable"] == {"false": 3, "true": 2}
    assert counts["age"] == {"-1": 1, "30": 1, "60": 1, "61": 1}
    assert list(counts["seen"]) == ["1969-07-20", "2018-12-31", "2019-01-01", "2019-01-02"]


def test_a_profile_reads_fields_of_ones_own_and_guards_missing_ones(make_engine):
    profiles = [
        Profile(
            "guarded",
            first_phase="bm25(caption) + if (attribute(has_age), attribute(age), 45)",
            match_features=("attribute(age)", "attribute(has_age)", "attribute(portable)"),
            retrieve=("text",),
        ),
        Profile("open", first_phase="attribute(age)", retrieve=("text",)),
        Profile("dated", first_phase="attribute(seen) / 86400", retrieve=("text",)),
        Profile("written", first_phase="bm25(findings)", retrieve=("text",)),
    ]
    engine = make_engine(CASES, [FIELD], ProfileSet(tuple(profiles), "guarded"), attributes=OWN)
    guarded = ask(engine, "chest", profile="guarded")
    assert guarded.ids == ("c", "b", "d", "a", "e")
    missing = guarded.features["attribute(has_age)"] == 0
    assert np.isnan(guarded.features["attribute(age)"][missing]).all()
    assert guarded.features["attribute(portable)"].tolist() == [0, 1, 0, 0, 1]
    unguarded = ask(engine, "chest", profile="open")
    assert unguarded.ids == ("c", "b", "a", "e", "d")
    assert unguarded.scores[-1] == -np.inf
    days = {hit.id: hit.score for hit in ask(engine, "chest", profile="dated")}
    assert (days["b"], days["e"]) == (17897, -165)
    scored = {hit.id for hit in ask(engine, "chest effusion", profile="written") if hit.score > 0}
    assert scored == {"a", "c", "d"}


@pytest.mark.parametrize(
    ("conditions", "options", "said"),
    [
        (["age=old"], {}, "age is 'old', not a whole number"),
        (["age=1.5"], {}, "not a whole number"),
        (["seen>=soon"], {}, "not a day such as 2019-12-31"),
        (["dose=inf"], {}, "not a finite number"),
        (["site>=North"], {}, "neither a number nor a date"),
        (["portable=maybe"], {}, "not true or false"),
        (["weight=1"], {}, "no field 'weight'.*split, age, dose"),
        ([], {"facets": ("dose",)}, "counted by dose, a field of the type float"),
        ([], {"sort": Sort("findings")}, "sorted by findings, a field of the type text"),
    ],
)
def test_a_condition_at_fault_is_refused_in_a_sentence(cases, conditions, options, said):
    with pytest.raises(QueryError, match=said):
        found(cases, *conditions, **options)


def test_an_update_of_a_vector_leaves_fields_of_ones_own(cases):
    (document,) = (each for each in CASES if each.id == "b")
    moved = replace(document, vectors={NAMES.embedding: vector(0, 0, 0, 1)})
    assert cases.update([moved]).ok == 1
    assert cases.get("b").attributes == document.attributes
    np.testing.assert_allclose(cases.get("b").vectors[NAMES.embedding], vector(0, 0, 0, 1))


def test_a_value_of_another_type_is_no_value(cases):
    wrong = [case("x", age="sixty"), case("y", seen="2019-02-30"), case("z", height=1)]
    report = cases.feed([*wrong, case("f", age=7)])
    assert (report.ok, sorted(name for name, _ in report.failed)) == (1, ["x", "y", "z"])
    assert found(cases, "age=7") == ("f",)


def test_an_operator_may_name_a_field_of_ones_own(cases):
    asked = Query("chest age:60..61 -portable:true", profile="lexical", operators=True)
    if isinstance(cases, VespaEngine):  # the stand-in reads no operators
        yql = search_request(asked, cases.application, hits=1).body["yql"]
        assert "range(age, 60, 61)" in yql
        assert "!(portable = true)" in yql
        return
    assert cases.search(asked).ids == ("c",)


def test_expansions_find_documents_and_count_by_their_weight(engine):
    plain = ask(engine, "effusion", profile="lexical")
    wide = ask(engine, "effusion", profile="lexical", expansions={"head": 0.5, "effusion": 0.1})
    alone = ask(engine, "head", profile="lexical")
    scores = {hit.id: hit.score for hit in wide}
    assert scores == pytest.approx(
        {hit.id: hit.score for hit in plain} | {hit.id: hit.score / 2 for hit in alone}
    )
    assert ask(engine, "effusion", profile="lexical", expansions={"no-such": 1.0}).ids == plain.ids


@pytest.mark.parametrize("weight", [0, -1, 1.5, float("nan"), "much"])
def test_an_expansion_needs_a_weight(engine, weight):
    with pytest.raises(QueryError, match="weight of head"):
        ask(engine, "effusion", profile="lexical", expansions={"head": weight})


def test_hits_have_the_same_probability_in_every_engine(engine):
    """It follows from the match features, whose values are the same."""
    words, picture = Evidence(-2.0, {"bm25(caption)": 3.0}), {"closeness(field,embedding)": 4.0}
    both = Evidence(-5.0, {"bm25(caption)": 3.0, **picture})
    fitted = Calibration(FINGERPRINT, (words, Evidence(-3.0, picture), both))
    found = ask(engine, "effusion chest", (1, 0, 0, 0), profile="hybrid")
    chances = dict(zip(found.ids, fitted.probabilities(found.features, 2), strict=True))
    bm25 = dict(zip(found.ids, found.features["bm25(caption)"], strict=True))
    expected = {
        "a1": -5 + 3 * bm25["a1"] / 2 + 4,  # both
        "c2": -2 + 3 * bm25["c2"] / 2,  # no vector
        "c4": -3 + 4 * 0.5,  # no caption, at a right angle
    }
    for name, odds in expected.items():
        assert chances[name] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-6)
