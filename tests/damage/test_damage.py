"""No byte of a file may crash the process or change an answer in silence.

For ten thousand copies of each: benchmarks/damage.py.
"""

from __future__ import annotations

import pytest

from tests.damage.copies import damaged_copies
from tests.damage.formats import FORMATS, THREADED

COPIES = {"index": 200, "corpus": 80, "ledger": 150, "encoder": 24, "towers": 60}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_copy_is_told_or_gives_the_same_answer(tmp_path, name):
    (tmp_path / name).mkdir()
    found = damaged_copies(
        tmp_path / name, FORMATS[name](tmp_path / name), COPIES[name], apart=name not in THREADED
    )
    assert set(found) <= {"sentence", "same answer"}
    assert found["sentence"] > COPIES[name] / 10
