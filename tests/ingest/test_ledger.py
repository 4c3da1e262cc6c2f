from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given, settings, strategies as st

from ingest.feed.ledger import Known, Ledger, LedgerError

IDS = st.sampled_from("abcd")
VECTORS = st.dictionaries(st.sampled_from(["f1", "f2"]), st.sampled_from("xyz"))
STEPS = st.lists(
    st.tuples(st.just("put"), IDS, st.sampled_from("12"), VECTORS)
    | st.tuples(st.just("update"), IDS, st.none(), VECTORS)
    | st.tuples(st.sampled_from(["refuse", "forget"]), IDS, st.none(), st.none()),
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_it_remembers_what_a_dictionary_would(tmp_path_factory, steps):
    expected: dict[str, Known] = {}
    path = tmp_path_factory.mktemp("l") / "ledger.sqlite"
    for action, identifier, content, vectors in steps:
        # Opened anew for each step: nothing is kept in memory.
        with Ledger(path, "t") as ledger:
            if action == "put":
                ledger.put(identifier, content, vectors)
                expected[identifier] = Known(content, vectors)
            elif action == "update" and identifier in expected:
                ledger.update(identifier, expected[identifier].content, vectors)
                old = expected[identifier]
                expected[identifier] = Known(old.content, {**old.vectors, **vectors})
            elif action == "refuse":
                ledger.refuse(identifier, "why")
                expected.pop(identifier, None)
            elif action == "forget":
                ledger.forget([identifier])
                expected.pop(identifier, None)
    with Ledger(path, "t") as ledger:
        assert ledger.known(list("abcd")) == expected
        assert ledger.count() == len(expected)
        assert set(ledger.fingerprints()) == {f for k in expected.values() for f in k.vectors}


def test_ids_against_others(tmp_path):
    with Ledger(tmp_path / "l", "t") as ledger:
        ledger.put("a", "1", {})
        ledger.put("b", "1", {})
        ledger.refuse("c", "why")
        assert ledger.note(iter(["b", "d", "b"])) == 2
        assert ledger.not_noted() == ["a", "c"]
        assert ledger.held_not_noted() == ["a"]
        assert ledger.noted_only() == ["d"]


def test_dead_letters(tmp_path):
    path = tmp_path / "dead.jsonl"
    with Ledger(tmp_path / "l", "t") as ledger:
        assert ledger.write_dead_letters(path) == 0
        ledger.refuse("a", "Index 512 out of bounds é")
        assert ledger.write_dead_letters(path) == 1
        assert json.loads(path.read_text()) == {"id": "a", "message": "Index 512 out of bounds é"}
        ledger.put("a", "1", {})
        assert ledger.write_dead_letters(path) == 0
    assert not path.exists()


def test_a_ledger_belongs_to_one_target(tmp_path):
    Ledger(tmp_path / "l", "http://one").__exit__(None, None, None)
    with pytest.raises(LedgerError, match=r"is the ledger of http://one .*not of http://two"):
        Ledger(tmp_path / "l", "http://two")


def test_a_damaged_ledger_is_told(tmp_path):
    (tmp_path / "l").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="cannot be used as a ledger"):
        Ledger(tmp_path / "l", "t")


def test_a_row_that_damage_has_emptied_is_told(tmp_path):
    with Ledger(tmp_path / "l", "t") as ledger:
        ledger.put("a", "1", {"f": "x"})
    with sqlite3.connect(tmp_path / "l") as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '')")
    with sqlite3.connect(tmp_path / "l") as database:
        database.execute("UPDATE documents SET vectors = NULL")
    with (
        Ledger(tmp_path / "l", "t") as ledger,
        pytest.raises(LedgerError, match="cannot be used as a ledger"),
    ):
        ledger.known(["a"])


def test_what_is_in_doubt_is_not_known_until_it_is_confirmed(tmp_path):
    path = tmp_path / "l"
    with Ledger(path, "t") as ledger:
        for identifier in "abc":
            ledger.put(identifier, "1", {"f": "x"})
        ledger.doubt(["a", "b"])
        ledger.update("a", "1", {"f": "y"})
    with Ledger(path, "t") as ledger:
        assert ledger.known(list("abc")) == {
            "a": Known("1", {"f": "y"}),
            "c": Known("1", {"f": "x"}),
        }
        ledger.note(["a", "c"])
        assert ledger.not_noted() == ["b"]  # it may be there, so it is removed again
        assert ledger.write_dead_letters(tmp_path / "dead") == 0


def test_a_ledger_of_another_content_knows_nothing(tmp_path):
    found = []
    for content in ("one", "one", "two", "two"):
        with Ledger(tmp_path / "l", "t", content) as ledger:
            found.append((ledger.restarted, ledger.count()))
            ledger.put("a", "1", {})
    assert found == [(False, 0), (False, 1), (True, 0), (False, 1)]
