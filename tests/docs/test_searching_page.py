"""What a search can ask: every tick in README is a test that docs/searching.md names."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = "| wanted | embedded engine |"


def rows(page: str) -> dict[str, list[str]]:
    """What is wanted -> its cells."""
    table = (ROOT / page).read_text("utf-8").partition(HEAD)[2].partition("\n\n")[0]
    lines = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {wanted.strip(): [cell.strip() for cell in cells] for wanted, *cells in lines}


def test_every_tick_names_a_test_that_there_is():
    named = rows("docs/searching.md")
    assert len(named) > 10
    for wanted, cells in named.items():
        assert len(cells) == 4, wanted
        for cell in chain.from_iterable(each.split(", ") for each in cells if each):
            file, _, test = cell.strip("`").partition("::")
            text = (ROOT / "tests" / file).read_text("utf-8")
            assert re.search(rf"^def {test}\(", text, re.M), cell


def test_readme_has_a_tick_for_each_of_them_and_no_other():
    ticks = {wanted: [bool(cell) for cell in cells] for wanted, cells in rows("README.md").items()}
    named = {w: [bool(cell) for cell in cells] for w, cells in rows("docs/searching.md").items()}
    assert ticks == named
