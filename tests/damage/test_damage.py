"""No byte of a file may crash the process or change an answer in silence.

For ten thousand copies of each: benchmarks/damage.py.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders.base.errors import UserError
from ingest.feed.ledger import Ledger
from tests.damage.copies import damaged_copies
from tests.damage.formats import FORMATS, THREADED
from tests.kills.forks import ask

COPIES = {"index": 200, "corpus": 80, "ledger": 150, "encoder": 24, "towers": 60}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_copy_is_told_or_gives_the_same_answer(tmp_path, name):
    (tmp_path / name).mkdir()
    found = damaged_copies(
        tmp_path / name, FORMATS[name](tmp_path / name), COPIES[name], apart=name not in THREADED
    )
    assert set(found) <= {"sentence", "same answer"}
    assert found["sentence"] > COPIES[name] / 10


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def read_ledger(root: Path):
    with Ledger(root / "l.sqlite", "t", "i") as opened:
        return opened.known(["d001"])


@pytest.mark.parametrize("name", ["index", "corpus", "ledger", "towers"])
def test_what_may_not_be_read_is_not_called_damaged(open_folder, name):
    """Nobody should build again what its owner could let them read."""
    root = open_folder / name
    root.mkdir()
    asked = FORMATS[name](root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

    def told(root: Path) -> str:
        if os.geteuid() == 0:  # whom no mode holds back
            os.setresuid(*[65534] * 3)
        try:
            read_ledger(root) if name == "ledger" else asked()
        except UserError as error:
            return str(error)
        return "read"

    for path in filter(Path.is_file, root.rglob("*")):
        path.chmod(0)
        said = ask(told, root)
        assert "for lack of permission: ask its owner" in said or said == "read", path
        path.chmod(0o644)
        if path.name in {"CURRENT", "corpus.json", "l.sqlite", "encoder.json", "tokenizer.json"}:
            assert path.name in said
