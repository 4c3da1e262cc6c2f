"""Rank profiles: inheritance, an encoder's names, what is refused, and what a missing part does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ranking.expressions.expression import parse
from ranking.names import encoder_names
from ranking.profiles.cosine import START_SCALE
from ranking.profiles.shipped import (
    SHIPPED,
    Phase,
    Profile,
    ProfileError,
    ProfileSet,
    load_profiles,
    save_profiles,
)

FIRST = encoder_names("1a2b3c4d" * 8)
SECOND = encoder_names("ffffffff" * 8)
NAMES = (
    "lexical",
    "lexical_affirmed",
    "lexical_pseudo",
    "vector",
    "hybrid_sum",
    "hybrid",
    "hybrid_pseudo",
    "hybrid_atan",
    "hybrid_linear",
    "hybrid_rrf",
    "learned",
    "image",
)


def profile(**fields):
    return Profile(**{"name": "p", "retrieve": ("text",), "first_phase": "bm25(caption)", **fields})


def score(name, phase="first_phase", **features):
    """The score of documents that have these features; a list for several."""
    made = SHIPPED.resolve(name)
    text = made.first_phase if phase == "first_phase" else made.global_phase.expression
    values = {f"query({n})": v for n, v in made.inputs.items()}
    values |= {
        "bm25(caption)": features["bm25"],
        "closeness(field,embedding)": features["closeness"],
        "attribute(has_caption)": features.get("has_caption", 1.0),
        "attribute(has_vector)": features.get("has_vector", 1.0),
    }
    return parse(text, made.functions).evaluate(values)


def test_the_shipped_set():
    assert SHIPPED.names() == NAMES
    assert SHIPPED.default == "hybrid"
    assert SHIPPED.resolve() == SHIPPED.resolve("hybrid")


def test_inheritance_is_written_out():
    child = SHIPPED.resolve("hybrid_atan")
    assert child.inherits == ""
    assert child.inputs == SHIPPED.resolve("hybrid").inputs
    assert child.inputs["scale"] == START_SCALE
    assert "atan" in child.functions["saturate(x)"]
    assert [s for s in child.functions if s.startswith("saturate")] == ["saturate(x)"]


def test_names_of_an_encoder():
    made = SHIPPED.instantiate(FIRST).resolve("hybrid_linear")
    assert made.match_features[1] == f"closeness(field,{FIRST.embedding})"
    text = str(made)
    assert FIRST.has_vector in text
    assert "attribute(has_vector)" not in text
    assert "closeness(field, embedding)" not in text


def test_without_an_encoder_only_what_needs_no_vector():
    left = SHIPPED.instantiate(None)
    assert left.names() == ("lexical", "lexical_affirmed", "lexical_pseudo")
    assert left.default == "lexical"


def test_two_encoders_side_by_side():
    both = SHIPPED.side_by_side([FIRST, SECOND])
    old, new = (both.resolve(f"hybrid_{names.short}") for names in (FIRST, SECOND))
    assert replace(both.resolve("hybrid"), name="", description="") == replace(
        old, name="", description=""
    )
    assert SECOND.embedding in str(new)
    assert FIRST.embedding not in str(new)
    assert "lexical_1a2b3c4d" not in both.names()


@pytest.mark.parametrize("name", [n for n in NAMES if SHIPPED.resolve(n).uses_vector])
def test_uses_vector(name):
    assert "closeness(field,embedding)" in SHIPPED.resolve(name).match_features


def closeness_of(cosine):
    return 1 / (2 - cosine)


def test_the_blend_adds_what_words_and_picture_say():
    words, picture = 100 * 25 / 125, START_SCALE * 0.4
    found = score("hybrid", bm25=25.0, closeness=closeness_of(0.4))
    assert found == pytest.approx(0.5 * words + 0.5 * picture)


def test_words_never_say_more_than_k():
    assert score("hybrid", bm25=1e12, closeness=closeness_of(0.0)) == pytest.approx(0.5 * 100)


def test_without_a_query_vector_pictures_say_nothing():
    """Closeness is then 0 for every document, and 1 / 0 infinite."""
    assert score("hybrid", bm25=25.0, closeness=0.0) == pytest.approx(0.5 * 100 * 25 / 125)


def test_lacking_a_picture_is_no_advantage():
    """Beside an equal caption and a picture that fits well, and beside one that fits at all."""
    bare = score("hybrid", bm25=60.0, closeness=0.0, has_vector=0.0)
    assert score("hybrid", bm25=60.0, closeness=closeness_of(0.6)) > bare
    assert score("hybrid", bm25=60.0, closeness=closeness_of(0.1)) < bare


@pytest.mark.parametrize("name", ["hybrid", "hybrid_atan", "learned"])
def test_a_missing_part_does_not_bury_a_document(name):
    """A good vector without a caption beats a bad one whose caption lacks every word."""
    closeness = np.array([0.9, 0.4])
    scores = score(name, bm25=0.0, closeness=closeness, has_caption=np.array([0.0, 1.0]))
    assert scores[0] > scores[1]
    no_vector = score(name, bm25=np.array([20.0, 0.5]), closeness=np.array([0.0, 0.5]),
                      has_vector=np.array([0.0, 1.0]))  # fmt: skip
    assert no_vector[0] > no_vector[1]


@pytest.mark.parametrize("name", ["hybrid_linear", "hybrid_rrf"])
def test_a_missing_part_does_not_bury_a_document_in_the_global_phase(name):
    """Best by its vector, it stands above most of a window in which few captions match."""
    rows = np.arange(100)
    scores = score(
        name,
        phase="global_phase",
        bm25=np.where((rows > 0) & (rows % 10 == 1), 9.0 - rows / 20, 0.0),
        closeness=0.9 - rows / 200,
        has_caption=np.where(rows == 0, 0.0, 1.0),
    )
    assert (scores[0] > scores[1:]).mean() > 0.5


def test_whole_documents_get_plain_reciprocal_rank_fusion():
    bm25, closeness = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.3, 0.2])
    scores = score("hybrid_rrf", phase="global_phase", bm25=bm25, closeness=closeness)
    ranks = np.array([[1, 3], [3, 1], [2, 2]])
    np.testing.assert_allclose(scores, (1 / (60 + ranks)).sum(axis=1))


FAULTS = {
    "two profiles p": (profile(), profile()),
    "inherits nobody, which does not exist": (profile(inherits="nobody"),),
    "p inherits r inherits p": (profile(inherits="r"), profile(name="r", inherits="p")),
    "nativeRank": (profile(first_phase="nativeRank(caption)"),),
    "match feature saturated: saturated is neither": (profile(match_features=("saturated",)),),
    "which only a global phase can": (profile(first_phase="normalize_linear(bm25(caption))"),),
    "a rerank count of -1": (profile(second_phase=Phase("1", -1)),),
    "the default of input k is inf": (profile(inputs={"k": float("inf")}),),
    r"query\(k\) is not among its inputs": (profile(first_phase="query(k)"),),
    "is the query's vector": (profile(inputs={"q": 1.0}),),
    "'a b' cannot name a profile": (profile(name="a b"),),
    "'a b' cannot name an input": (profile(inputs={"a b": 1.0}),),
    "retrieves nothing": (profile(retrieve=()),),
    "retrieves by sound": (profile(retrieve=("sound",)),),
    r"function f\(x\): .* takes 2 arguments": (profile(functions={"f(x)": "max(x)"}),),
    "function f: f calls itself|calls itself": (profile(functions={"f": "f + 1"}),),
    "neither a function of the profile nor": (profile(first_phase="lexical"),),
    "cannot be called default": (profile(name="default"),),
    "there are two functions f|There are two functions f": (
        profile(functions={"f": "1", "f(x)": "x"}),
    ),
    "caption is a reserved name of the schema": (profile(functions={"caption": "1"}),),
    r"match feature 1\+1 is neither": (profile(match_features=("1+1",)),),
    "what differs between hits": (
        profile(inputs={"k": 1.0}, global_phase=Phase("normalize_linear(query(k))")),
    ),
    "too large for Vespa": (profile(second_phase=Phase("1", 99_999_999_999)),),
}


@pytest.mark.parametrize("says", FAULTS)
def test_faults_are_one_clear_sentence(says):
    with pytest.raises(ProfileError, match=says):
        ProfileSet(FAULTS[says], "p")


def test_an_unknown_default_or_name():
    with pytest.raises(ProfileError, match="default profile 'x' is not one of p"):
        ProfileSet((profile(),), "x")
    with pytest.raises(ProfileError, match="no profile x; there are lexical"):
        SHIPPED.resolve("x")


def test_an_argument_may_be_called_as_a_function_is():
    made = profile(functions={"sat(x, half)": "x / (x + half)", "half(v)": "v / 2", "f(f)": "f"})
    assert ProfileSet((made,), "p").names() == ("p",)


def test_the_default_is_the_first_that_can_be_asked_for(tmp_path):
    path = tmp_path / "profiles.toml"
    table = '[profiles.parts]\nretrieve = ["text"]\n[profiles.lex]\ninherits = "parts"\n'
    path.write_text(f'\ufeff{table}first_phase = "bm25(caption)"\n', encoding="utf-8")
    assert load_profiles(path).default == "lex"


def test_a_file_gives_back_the_set(tmp_path):
    save_profiles(SHIPPED, tmp_path / "profiles.toml")
    assert load_profiles(tmp_path / "profiles.toml") == SHIPPED


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(texts, st.dictionaries(st.sampled_from(["alpha", "k", "w_1"]), numbers), st.booleans())
def test_any_file_gives_back_the_set(tmp_path_factory, description, inputs, reranks):
    made = profile(
        description=description,
        inputs=inputs,
        functions={"twice(x)": "2 * x", "one": "twice(0.5)"},
        global_phase=Phase("normalize_linear(one)", 20) if reranks else None,
    )
    path = tmp_path_factory.mktemp("profiles") / "p.toml"
    save_profiles(ProfileSet((made,), "p"), path)
    assert load_profiles(path).profiles == (made,)


TOML = {
    "unknown key frist_phase": '[profiles.p]\nfrist_phase = "1"',
    "unknown key profile": '[profile.p]\nfirst_phase = "1"',
    "is not TOML": "[profiles",
    "no .profiles.NAME. table": 'default = "p"',
    "retrieve must be a list": '[profiles.p]\nretrieve = "text"',
    "must be a list of strings": "[profiles.p]\nretrieve = [1]",
    "input k must be a number": '[profiles.p]\ninputs = { k = "1" }',
    "rerank_count must be a whole number": (
        '[profiles.p]\nglobal_phase = { expression = "1", rerank_count = 1.5 }'
    ),
    "global_phase has no expression": "[profiles.p]\nglobal_phase = { rerank_count = 1 }",
    "must be an expression in quotes": "[profiles.p]\nfunctions = { f = 1 }",
    r"there is no bm25\(captoin\)": (
        '[profiles.p]\nretrieve = ["text"]\nfirst_phase = "bm25(captoin)"'
    ),
    r"match feature f\(1\) has arguments": (
        '[profiles.p]\nretrieve = ["text"]\nfirst_phase = "1"\n'
        'functions = { "f(x)" = "x" }\nmatch_features = ["f(1)"]'
    ),
    "no profile has a first_phase": '[profiles.p]\nretrieve = ["text"]\nfirst_phase = ""',
    "the default of input k is inf": (
        '[profiles.p]\nretrieve = ["text"]\nfirst_phase = "1"\ninputs = { k = inf }'
    ),
}


@pytest.mark.parametrize("says", TOML)
def test_faults_of_a_file_name_the_file(tmp_path, says):
    path = tmp_path / "profiles.toml"
    path.write_text(TOML[says])
    with pytest.raises(ProfileError, match=says) as caught:
        load_profiles(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(ProfileError, match="no profiles file"):
        load_profiles(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profiles(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("bm25(caption) + nativeRank", 16),
        ("query(zz)", 0),
        ("2 * normalize_linear(bm25(caption))", 4),
        ("3 in [matchCount]", 6),
    ],
)
def test_what_is_refused_is_pointed_at(expression, at):
    with pytest.raises(ProfileError) as refusal:
        ProfileSet((profile(first_phase=expression),), "p")
    _, line, pointer = str(refusal.value).splitlines()
    assert line.strip() == expression
    assert pointer.index("^") - line.index(expression) == at


def test_a_fault_inside_a_function_is_pointed_at_there():
    made = profile(first_phase="part + 1", functions={"part": "2 * query(zz)"})
    with pytest.raises(ProfileError, match=r"2 \* query\(zz\)\n        \^"):
        ProfileSet((made,), "p")
