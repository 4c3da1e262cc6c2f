"""What the command line says before any work: help that teaches, usage that is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from ingest.sources.open import FORMATS
from rocosearch.cli import app
from rocosearch.options import Layout, parse_counts

COMMANDS = sorted(typer.main.get_command(app).commands)


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches_with_an_example(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"rocosearch {name}" in result.output.partition("Examples:")[2]


def test_help_names_the_order_and_the_exit_codes():
    result = run("--help")
    assert "corpus, train, index" in result.output
    assert "0 done, 1 the job failed, 2 wrong usage" in result.output
    assert all(name in result.output for name in COMMANDS)


def test_help_does_not_load_what_takes_seconds():
    heavy = ("torch", "pyarrow", "numpy", "pandas", "sentence_transformers", "vespa")
    code = f"import sys, rocosearch.cli; print([m for m in sys.modules if m in {heavy!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "index"], "Give TEXT, or --image FILE, or --like ID."),
        (["search", "index", "text", "-k", "0"], "Invalid value for '-k'"),
        (["search", "index", "text", "-k", "ten"], "Invalid value for '-k'"),
        (["search", "index", "two", "texts"], "texts"),
        (["eval", "i", "c", "o", "-k", "1;5"], "is not a list of numbers such as 1,5,10"),
        (["eval", "i", "c", "o", "-k", "0,5"], "below 1"),
        (["plan", "--documents", "1e400", "--dim", "8"], "'--documents': it is not a number"),
        (["plan", "--documents", "nan", "--dim", "8"], "'--documents'"),
        (["plan", "--documents", "1", "--dim", "9" * 400], "'--dim'"),
        (["plan", "--documents", "1", "--dim", "8", "--disk", "inf"], "'--disk'"),
        (["train", "c", "e", "--minutes", "nan"], "'--minutes'"),
        (["train", "c", "e", "--rate", "text.bert=nan"], "is not PART=X"),
        (["train", "c", "e", "--seed", "-1"], "'--seed'"),
        (["corpus", "x"], "Missing argument"),
        (["corpus", "x", "y", "--format", "dicomm"], "dicomm"),
        (["serch", "x"], "serch"),
        (["search", "index", "text", "--proflie", "x"], "--proflie"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, told):
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_cutoffs_are_sorted_and_each_once():
    assert parse_counts("10,1,5,5", "cutoff") == (1, 5, 10)


def test_layouts_are_those_of_the_readers():
    assert set(get_args(Layout)) == {"auto", *FORMATS}
