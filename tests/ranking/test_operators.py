"""The query language, and that it is only spoken when asked for."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ranking.engine.engine import EmbeddedEngine
from ranking.text.query_syntax import Asked, read
from ranking.types import Document, Filter, Query

ENGINE = EmbeddedEngine.in_memory(
    [
        Document("a", "Chest x-ray with pleural effusion", modality="xray"),
        Document("b", "Effusion, pleural and pericardial", modality="ct"),
        Document("c", "CT of the head", modality="ct"),
        Document("d", "CT of the chest: caption: odd", modality="ct", concepts=("C1", "C2")),
    ]
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pleural effusion", "ab"),
        ('"pleural effusion"', "a"),
        ("ct -head", "d"),
        ("+chest ct", "ad"),
        ("ct chest modality:xray", "a"),
        ("ct chest -modality:xray", "cd"),
        ("chest concepts:C2", "d"),
        ("caption:chest", "ad"),
        ('ct -"of the head"', "d"),
        ('+"pleural effusion" -modality:xray', ""),
        ("x-ray", "a"),
        ('"chest', "ad"),
        ("- + chest", "ad"),
        ("odd:thing", "d"),
        ("-chest", ""),
    ],
)
def test_what_operators_find(text, found):
    result = ENGINE.search(Query(text, profile="lexical", operators=True))
    assert sorted(result.ids) == sorted(found)


def test_without_being_asked_for_they_are_words():
    assert set(ENGINE.search(Query("ct -head", profile="lexical")).ids) == {"b", "c", "d"} - {"b"}
    assert set(ENGINE.search(Query('"pleural effusion"', profile="lexical")).ids) == {"a", "b"}


def test_words_are_stemmed_like_captions():
    assert read('images -"lungs"') == Asked(("image",), (), (("lung",),))
    assert read("split:test") == Asked((), (), (), (Filter("split", ("test",)),))


@given(st.text(max_size=40))
def test_nothing_that_is_typed_is_an_error(text):
    if text.strip():
        ENGINE.search(Query(text, profile="lexical", operators=True))
