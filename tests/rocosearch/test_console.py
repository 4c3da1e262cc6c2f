"""Progress for logs, JSON for programs."""

from __future__ import annotations

import io
import json
import time

from rich.table import Table
from typer.testing import CliRunner

from encoders.base.progress import expect
from rocosearch import console
from rocosearch.cli import app
from rocosearch.console import (
    PlainLines,
    _PlainConsole,
    progress_bars,
    results,
    say,
    show,
    show_json,
)


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


def test_no_line_of_a_log_is_repeated(capsys):
    lines = PlainLines(seconds=0.05, patience=0.05)
    with lines.watching():
        lines("training", 1, 3, "loss 3.98")
        expect(lines, "training at most 3 epochs", 200, 5e6)
        time.sleep(0.5)
        lines("training", 2, 3, "loss 3.34")
        time.sleep(0.3)
    printed = capsys.readouterr().err.splitlines()
    assert "after expected ..." not in printed
    assert "training: 1/3  loss 3.98" in printed
    counts = [line for line in printed if "/3" in line]
    assert len(counts) == len(set(counts))
    assert 1 <= sum(line.startswith("training ... ") for line in printed) <= 8


HOSTILE = "[/x] [red]a\x1b[2Jb\u202ec"


def test_the_text_of_others_is_no_markup_and_moves_no_cursor(capsys):
    table = Table("name")
    table.add_row(HOSTILE)
    results.print(f"{HOSTILE}: 3 documents")
    results.print("two\nlines")
    show(table)
    say(f"a\nfile {HOSTILE}")
    printed = capsys.readouterr()
    for text in printed:
        assert "[/x] [red]a" in text
        assert r"\x1b[2Jb\u202ec" in text
        assert "\x1b" not in text
    assert "two\nlines" in printed.out
    assert printed.err.count("\n") == 1


def test_a_stage_may_be_called_anything(monkeypatch):
    screen = _PlainConsole(file=io.StringIO(), force_terminal=True, markup=False, width=200)
    monkeypatch.setattr(console, "messages", screen)
    with progress_bars() as progress:
        progress("report [/x]", 1, 2, "[/y]")
    assert "report [/x]" in screen.file.getvalue()


def test_folders_that_look_like_markup(tmp_path):
    out = tmp_path / "out[/b]"
    for words in (("corpus", "phantoms:20", out / "c[/x]"), ("index", out / "c[/x]", out / "[i]")):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert str(words[-1]) in done.output


def test_a_pipe_gets_every_figure_of_a_table(capsys):
    table = Table(*(f"figure {n}" for n in range(8)), box=None)
    table.add_row(*("0.123456789" for _ in range(8)))
    show(table)
    assert capsys.readouterr().out.count("0.123456789") == 8
