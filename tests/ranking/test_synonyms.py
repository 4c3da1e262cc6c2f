"""Synonym files: Solr's format, weights, and what a query is widened by."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranking.text.synonyms import Expansion, SynonymsError, read_synonyms, synonym_line


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "synonyms.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_forms_of_one_line_mean_the_same(tmp_path: Path) -> None:
    known = read_synonyms(written(tmp_path, "# modalities\n\nCT, computed tomography\n"))
    assert known.expand(["chest", "ct"]) == (Expansion(("compute", "tomography")),)
    assert known.expand(["compute", "tomography"]) == (Expansion(("ct",)),)


def test_a_rule_goes_one_way_and_has_weights(tmp_path: Path) -> None:
    known = read_synonyms(written(tmp_path, "effusion => fluid|0.5, pleural fluid|0.25"))
    assert known.expand(["effusion"]) == (
        Expansion(("fluid",), 0.5),
        Expansion(("pleural", "fluid"), 0.25),
    )
    assert known.expand(["fluid"]) == ()


def test_the_longest_form_counts_and_what_is_asked_for_does_not(tmp_path: Path) -> None:
    known = read_synonyms(written(tmp_path, "ct scan, tomogram\nct, cat\n"))
    assert known.expand(["ct", "scan"]) == (Expansion(("tomogram",)),)
    assert known.expand(["ct", "scan", "tomogram"]) == ()


def test_commas_can_be_escaped(tmp_path: Path) -> None:
    line = synonym_line({"1,25 vitamin": 1.0, "calcitriol": 0.5})
    known = read_synonyms(written(tmp_path, line))
    assert known.expand(["calcitriol"]) == (Expansion(("1", "25", "vitamin")),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ct", "line 1: a synonym needs at least two forms"),
        ("a, b\na => b => c", "line 2: more than one =>"),
        ("a, --", "'--' has no word"),
        ("a, b|3", "weight 3 is not in 0 to 1"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SynonymsError, match=said):
        read_synonyms(written(tmp_path, text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SynonymsError, match="not UTF-8"):
        read_synonyms(path)
    with pytest.raises(SynonymsError, match="cannot be read"):
        read_synonyms(tmp_path / "none.txt")
