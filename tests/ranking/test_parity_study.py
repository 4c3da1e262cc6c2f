"""What a real Vespa answered in eleven grammars agrees with the embedded engine, or is named."""

from __future__ import annotations

import pytest

from tests.vespa_records.compare import compare
from tests.vespa_records.records import find_collections, read_records
from tests.vespa_records.replay import Skipped, make_replay


@pytest.fixture(scope="module")
def study(vespa_golden):
    folder = vespa_golden.parent / "vespa-study"
    if not folder.is_dir():
        pytest.skip(f"no records in {folder}")
    (collection,) = find_collections(folder)
    return collection


def test_texts_in_every_grammar(study):
    compared, reasons = set(), set()
    for record in read_records(study.files["terms"]):
        try:
            replay = make_replay(record, study)
        except Skipped as reason:
            reasons.add(str(reason))
            continue
        assert compare(record, replay, study).faults == [], record["id"]
        compared.add(record["kind"])
    assert {f"terms-{g}" for g in ("any", "all", "weakAnd", "web", "linguistics")} <= compared
    assert {"phrase", "operators"} <= reasons


@pytest.mark.parametrize("quotes", ["\u201c\u201d", "\xab\xbb", "\u201e\u201c", "\u2039\u203a"])
def test_typographic_quotes_make_a_phrase_in_vespas_grammars_alone(study, quotes):
    record = next(r for r in read_records(study.files["terms"]) if r["kind"] == "terms-any")
    text = f"{quotes[0]}pleural effusion{quotes[1]}"
    for grammar, phrase in (("any", True), ("all", True), ("linguistics", False)):
        yql = f'select * from study where {{grammar: "{grammar}"}}userInput(@text)'
        asked = record | {"request": record["request"] | {"text": text, "yql": yql}}
        if phrase:
            with pytest.raises(Skipped, match="phrase"):
                make_replay(asked, study)
        else:
            assert make_replay(asked, study).query.text == text


def test_words_that_meet_are_a_phrase_in_contains(study):
    record = next(r for r in read_records(study.files["terms"]) if r["kind"] == "terms-yql")
    yql = 'select * from study where caption contains "T2-weighted"'
    with pytest.raises(Skipped, match="phrase"):
        make_replay(record | {"request": record["request"] | {"yql": yql}}, study)
