"""The benchmark of kills finds a writer that is not atomic, and no fault in one that is."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from benchmarks.kills import drill
from encoders.base.storage import whole_file
from tests.kills.jobs import Job

LINES = 40


def write_slowly(path: Path) -> None:
    with path.open("w") as stream:
        for _ in range(LINES):
            print("line", file=stream, flush=True)
            time.sleep(0.001)


def at_once(root: Path) -> None:
    with whole_file(root / "file") as beside:
        write_slowly(beside)


def in_place(root: Path) -> None:
    write_slowly(root / "file")


def goes_on(root: Path) -> None:
    """Resumes wrongly: what is there is taken for half of the work."""
    if (root / "begun").exists():
        (root / "file").write_text("line\n")
    else:
        (root / "begun").touch()
        at_once(root)


def prepare(root: Path) -> None:
    (root / "file").write_text("old")


def left(root: Path) -> str:
    text = (root / "file").read_text()
    whole = {"old": "the old one", "line\n" * LINES: "the new one"}
    return whole.get(text, "WRONG: a part")


def in_two_steps(root: Path) -> None:
    """Long work in hidden files, and names that are put in place a moment apart."""
    write_slowly(root / ".file")
    (root / "other").unlink(missing_ok=True)
    (root / ".file").replace(root / "other")
    time.sleep(0.002)
    at_once(root)
    (root / "other").unlink()


def told(work) -> dict[str, object]:
    job = Job(prepare, work, left, lambda root: (root / "file").read_text())
    return drill(job, 8, random.Random(0))


def test_an_atomic_writer_has_no_fault():
    found = told(at_once)
    assert found["kills"] == found["came through"] == 8
    assert not [what for what in found if what.startswith(("WRONG", "ended"))]


def test_most_kills_fall_where_names_are_changed():
    found = told(in_two_steps)
    assert found["while names are changed"] == 6
    assert found["of them names are changed in"] < found["seconds of a whole job"]


@pytest.mark.parametrize(
    ("work", "fault"), [(in_place, "WRONG: a part"), (goes_on, "WRONG result")]
)
def test_a_fault_is_found(work, fault):
    assert told(work)[fault] > 0
