"""README, docs and the code keep clear of phrases that readers had to read twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_pages import IDS, PAGES, ROOT

# Each is a turn of phrase that has a plain word: "resumed", "again", "without need" and so on.
EVERYWHERE = (
    "gone on with",
    "goes on where",
    "promise most",
    "nothing sent without",
    "must have to be among the hits",
    "never too low",
    "put in use",
    "who asks",
    "anew",
)
IN_PROSE = (
    *EVERYWHERE,
    "of one's own",
    "is none of",
    "holds no",
    "in vain",
    "is told",
    "are told",
    "was told",
    "so many",
    "under way",
    "asked of",
    "taken for",
    "tried again",
    "by itself alone",
    "what is there",
    "for who ",
)
CODE = sorted(
    path
    for package in ("encoders", "ranking", "vespa_app", "ingest", "eval", "rocosearch")
    for path in (ROOT / package).rglob("*.py")
)


def found(path: Path, phrases: tuple[str, ...]) -> list[str]:
    """The phrases that a file has, over line ends and the marks of comments too."""
    text = re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text("utf-8"))
    return re.findall(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b", text, re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_prose(page):
    assert found(page, IN_PROSE) == []


def test_code():
    assert {str(p.relative_to(ROOT)): hits for p in CODE if (hits := found(p, EVERYWHERE))} == {}


def test_a_phrase_is_found_over_a_line_end(tmp_path):
    (tmp_path / "page.md").write_text("A run cannot be gone\n    # on with.")
    assert found(tmp_path / "page.md", EVERYWHERE) == ["gone on with"]
