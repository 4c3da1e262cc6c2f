"""What a real Vespa answered in eleven grammars agrees with the embedded engine, or is named."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from ranking.attributes import read_condition
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import ProfileSet
from ranking.types import Attribute, Document, Query
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


OWN = tuple(
    Attribute(name, kind)
    for name, kind in {
        "num": "int",
        "age": "int",
        "dose": "float",
        "taken": "int",
        "portable": "bool",
        "site": "keyword",
    }.items()
)
_FORMS = {
    r"(\w+) (>=|<=|>|<|=) ([\w.]+)": r"\1\2\3",
    r"range\((\w+), ([^,]+), ([^)]+)\)": r"\1=\2..\3",
    r'(modality) contains "([a-z]+)"': r"\1=\2",
}


def conditions_of(where):
    """The conditions of a record's filter; None for a form that a query has no condition for."""
    text = where.partition("userInput(@text)) and ")[2] or where
    found = []
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    for part in text.split(" and "):
        exclude = part.startswith("!")
        plain = part.removeprefix("!").removeprefix("(").removesuffix(")" if exclude else "")
        written = next(
            (re.sub(f, to, plain) for f, to in _FORMS.items() if re.fullmatch(f, plain)), None
        )
        if written is None:
            return None
        found.append(read_condition(re.sub("-?Infinity", "", written), exclude=exclude))
    return tuple(found)


def test_conditions_on_fields_of_ones_own_find_what_vespa_found(study):
    folder = next(iter(study.files.values())).parent
    captions = {document.id: document.caption for document in study.documents}
    rows = list(read_records(folder / "documents.jsonl.gz"))
    documents = [
        Document(
            row["id"],
            captions[row["id"]],
            modality=row["modality"],
            attributes={own.name: row[own.name] for own in OWN if own.name in row},
        )
        for row in rows
    ]
    profile = study.schema.profiles.resolve("fields")
    profiles = ProfileSet((replace(profile, retrieve=("text",)),), "fields")
    engine = EmbeddedEngine.in_memory(documents, (), profiles, attributes=OWN)
    compared = Counter()
    for record in read_records(study.files["own_fields"]):
        where = record["request"]["yql"].partition(" where ")[2]
        conditions = conditions_of(where) if record["kind"] in ("own-filter", "own-text") else None
        if conditions is None:
            continue
        compared[record["kind"]] += 1
        if record["kind"] == "own-filter":
            masks = engine._reader.allowed(conditions, ())
            assert sum(mask.sum() for mask in masks) == record["total"], where
            continue
        asked = Query(record["request"]["text"], profile="fields", k=30, filters=conditions)
        ours = engine.search(asked)
        assert ours.total == record["total"], where
        by_id = {hit.id: hit for hit in ours}
        last = min(ours.scores, default=math.inf)
        for identifier, relevance, *values in record["hits"]:
            score = -math.inf if relevance in (None, "-Infinity") else float(relevance)
            if score <= last + 1e-9:
                continue  # equal scores come in any order
            hit = by_id[identifier]
            assert hit.score == pytest.approx(score, rel=1e-9), where
            named = dict(zip(record["features"], values, strict=True))
            for name in profile.match_features:
                theirs = math.nan if named[name] is None else named[name]
                assert hit.features[name] == pytest.approx(theirs, rel=1e-9, nan_ok=True), name
    assert compared["own-filter"] >= 14
    assert compared["own-text"] >= 12


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("several", {"frames-exact", "frames-ann", "frames_dot-exact", "filter", "threshold"}),
        ("late_interaction", {"first", "second", "second-or", "global", "both"}),
    ],
)
def test_labelled_vectors_and_late_interaction(study, name, kinds):
    """Closeness, labels, MaxSim, and the relevance of what comes after a phase's window."""
    compared: dict[str, int] = {}
    for record in read_records(study.files[name]):
        kind = record["kind"].partition("-")[2]
        if compared.get(kind, 0) == 3:
            continue
        try:
            replay = make_replay(record, study)
        except Skipped:
            continue
        assert compare(record, replay, study).faults == [], record["id"]
        compared[kind] = compared.get(kind, 0) + 1
    assert kinds <= compared.keys()
