"""Progress for logs, JSON for programs."""

from __future__ import annotations

import json
import time

from encoders.base.progress import expect
from rocosearch.console import PlainLines, progress_bars, show_json


def test_lines_come_at_the_end_of_a_stage_and_now_and_then(capsys):
    lines = PlainLines(seconds=1000)
    for done in range(1, 4):
        lines("embed", done, 3, f"{done} s")
    assert capsys.readouterr().err == "embed: 3/3  3 s\n"
    often = PlainLines(seconds=0)
    often("read", 1000, None)
    assert capsys.readouterr().err == "read: 1,000\n"


def test_progress_keeps_stdout_free(capsys):
    with progress_bars() as progress:
        progress("a stage", 1, 1)
    assert capsys.readouterr().out == ""


def test_json_is_json_whatever_it_holds(capsys):
    show_json({"caption": "[red] hépatique", "k": 1})
    assert json.loads(capsys.readouterr().out) == {"caption": "[red] hépatique", "k": 1}


def test_a_step_of_its_own_is_told_by_its_note(capsys):
    lines = PlainLines()
    expect(lines, "embedding 10 images", 200, 5e6)
    assert (
        capsys.readouterr().err
        == "expected: embedding 10 images: about 3 minutes, 5.0 MB on disk\n"
    )
    lines("index", 1, 1)
    assert capsys.readouterr().err == "index: done\n"


def test_nothing_waits_in_silence(capsys):
    """Not before the first report, not in a long step, not after the end of one."""
    lines = PlainLines(seconds=0.05, patience=0.05)
    with lines.watching():
        time.sleep(0.4)
        assert "starting ..." in capsys.readouterr().err
        lines("read", 3, 10)
        time.sleep(0.4)
        assert "read: 3/10" in capsys.readouterr().err
        lines("read", 10, 10)
        assert capsys.readouterr().err.count("read: 10/10") == 1
        time.sleep(0.4)
        assert "after read ..." in capsys.readouterr().err
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
