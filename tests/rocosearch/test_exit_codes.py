"""Every failure is one sentence and an exit code."""

from __future__ import annotations

import errno

import pytest
import typer
from typer.testing import CliRunner

from encoders.base.errors import UserError
from rocosearch.exit_codes import TRACE, GuardedGroup

FULL = "The disk is full: free some space, or write elsewhere, and run the same command again.\n"


def _run(error: BaseException, **environment: str):
    app = typer.Typer(cls=GuardedGroup, pretty_exceptions_enable=False)

    @app.callback()
    def group() -> None:
        pass

    @app.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, ["fail"], env=environment)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("There is no [corpus] at x."), 1, "There is no [corpus] at x.\n"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to resume\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, FULL),
        (ValueError("I/O error: No space left on device (os error 28)"), 1, FULL),
        (OSError(errno.EIO, "Input/output error"), 1, "Input/output error\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/x"),
            1,
            "Permission denied: out/x\n",
        ),
        (MemoryError(), 1, "Out of memory: try fewer records, or a machine with more of it.\n"),
    ],
)
def test_failures_are_one_sentence(error, code, sentence):
    result = _run(error)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", sentence)


def test_a_fault_of_the_program_says_where_and_how_to_see_more():
    result = _run(KeyError("bm25"))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "Unexpected KeyError in test_exit_codes.py, line" in result.stderr
    assert f"{TRACE}=1" in result.stderr


def test_the_trace_is_there_when_asked_for():
    result = _run(UserError("bad"), **{TRACE: "1"})
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_wrong_usage_stays_usage():
    assert _run(typer.BadParameter("no")).exit_code == 2
    assert _run(typer.Exit(3)).exit_code == 3
