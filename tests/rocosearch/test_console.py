"""Progress for logs, JSON for programs."""

from __future__ import annotations

import json

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
