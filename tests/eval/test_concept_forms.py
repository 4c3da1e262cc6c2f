"""Which phrases of captions count as forms of a concept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.collection.concept_forms import learned_forms, surface_forms, synonym_file
from ranking.text.synonyms import read_synonyms
from tests.eval.conftest import make_pool

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def pool():
    """C1 is named "computed tomography", and said so, or "ct", or "cat scan"; C2 is an MRI."""
    said = ["computed tomography"] * 6 + ["ct"] * 6 + ["cat scan"] * 3
    rows = [(f"{text}, number {LETTERS[n]}{LETTERS[n]}", "", ["C1"]) for n, text in enumerate(said)]
    rows += [(f"mri, number {a}{b}", "", ["C2"]) for a in LETTERS[:10] for b in LETTERS]
    names = tuple(("computed tomography",) if row[2] == ["C1"] else ("mri",) for row in rows)
    return make_pool(rows, concept_names=names)


def test_names_are_joined_by_what_captions_say(pool):
    found = learned_forms(pool)
    assert set(found) == {"C1"}
    assert found["C1"].main == ("computed tomography", "ct", "cat")
    assert found["C1"].other == ("scan",)  # only beside "cat"


def test_without_names_captions_alone_teach(pool):
    found = learned_forms(replace(pool, concept_names=((),) * len(pool.ids)))
    assert found["C1"].main == ("computed", "ct", "cat")
    assert found["C1"].other == ("tomography", "scan")


def test_a_frequent_concept_is_not_learned_from_chance():
    """Two captions of two carry what three of four do: that says nothing."""
    rows = [(f"thing {letter}{letter}", "", ["C3"]) for letter in LETTERS]
    rows += [(f"odd {letter}{letter}", "", []) for letter in LETTERS[:8]]
    rows += [("rare thing", "", ["C3"]), ("rare sight", "", ["C3"])]
    pool = make_pool(rows, concept_names=((),) * len(rows))
    found = learned_forms(pool)
    assert not any("rare" in {*forms.main, *forms.other} for forms in found.values())
    assert "rare" in surface_forms(pool, 2, 0.8)["C3"]


def test_the_file_expands_every_form_to_the_main_ones(pool, tmp_path: Path):
    path = tmp_path / "synonyms.txt"
    path.write_text(synonym_file(learned_forms(pool), 0.25), "utf-8")
    known = read_synonyms(path)
    for asked in ("ct", "scan"):
        others = {each.terms: each.weight for each in known.expand([asked])}
        expected = {("compute", "tomography"), ("cat",), ("ct",)} - {(asked,)}
        assert others == dict.fromkeys(expected, 0.25)
