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
from rocosearch.overview import COMMANDS as SUMMARIES

GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)


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
    assert "0 success, 1 failure, 2 wrong usage" in result.output
    assert all(name in result.output for name in COMMANDS)


def loaded(
    heavy: tuple[str, ...], *commands: tuple[str, ...], failing: bool = False
) -> list[list[str]]:
    """Which of these modules a new process has loaded when each of the commands has ended.

    failing: the commands must fail; otherwise none may.
    """
    code = (
        "import sys\n"
        "from rocosearch.cli import main\n"
        f"for arguments in {commands!r}:\n"
        "    sys.argv = ['rocosearch', *arguments]\n"
        "    code = 0\n"
        "    try:\n        main()\n    except SystemExit as stop:\n        code = stop.code\n"
        f"    assert bool(code) is {failing}, arguments\n"
        f"    print('LOADED', *[m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert len(lines) == len(commands)
    return [words[1:] for words in lines]


def test_the_overview_loads_next_to_nothing():
    assert loaded(("typer", "rich", "numpy", "torch"), ("--help",)) == [[]]


def test_a_commands_help_does_not_load_what_takes_seconds():
    """One process for all: what a command loads stays for those after it."""
    heavy = ("torch", "pyarrow", "numpy", "pandas", "sentence_transformers", "vespa", "scipy")
    found = loaded(heavy, *((name, "--help") for name in COMMANDS))
    assert dict(zip(COMMANDS, found, strict=True)) == {name: [] for name in COMMANDS}


def test_asking_a_server_does_not_load_what_training_needs(tmp_path):
    heavy = ("torch", "transformers", "sentence_transformers", "onnx", "matplotlib", "sklearn")
    asked = (
        ("search", "http://127.0.0.1:9", "chest"),
        ("feed", str(tmp_path), "http://127.0.0.1:9"),
        ("deploy", str(tmp_path)),
    )
    assert loaded(heavy, *asked, failing=True) == [[], [], []]


@pytest.mark.parametrize("module", ["rocosearch.open_index", "rocosearch.page.build_server"])
def test_searching_and_serving_an_index_need_no_extra(module):
    extras = ("pyarrow", "pydicom", "requests", "torch", "pandas", "matplotlib", "scipy", "vespa")
    code = f"import sys\nsys.modules.update(dict.fromkeys({extras!r}))\nimport {module}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_overview_says_what_the_commands_say():
    for panel in SUMMARIES.values():
        for name, summary in panel.items():
            first = (GROUP.commands[name].help or "").partition("\n\n")[0]
            assert " ".join(first.split()) == summary


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in [
        each for each in sys.modules if each.startswith(("ingest", "eval", "rocosearch.pi"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    result = run("eval", "i", "c", "o")
    assert result.exit_code == 1
    assert "rocosearch eval needs pyarrow, which is not installed" in result.stderr
    assert "pip install '.[eval]'" in result.stderr


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


FEED, SEARCH, URL = ("feed", "corpus"), ("search", "index", "lesion"), "http://localhost:1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            (*SEARCH, "--suggest", "--filter", "modality=ct"),
            "--filter has no effect with --suggest",
        ),
        ((*SEARCH, "--suggest", "--offset", "3"), "--offset has no effect with --suggest"),
        ((*SEARCH, "--suggest", "--image", "x.png"), "--image has no effect with --suggest"),
        ((*SEARCH, "--suggest", "--why", "a"), "--why has no effect with --suggest"),
        ((*SEARCH, "--why", "a", "--facet", "modality"), "--facet has no effect with --why"),
        ((*SEARCH, "--why", "a", "--sort", "id"), "--sort has no effect with --why"),
        ((*SEARCH, "--why", "a", "--group", "split"), "--group has no effect with --why"),
        (
            (*SEARCH, "--profile", "a", "--profile", "b", "--why", "i", "--corpus", "c"),
            "--corpus has no effect with --why",
        ),
        (
            (*SEARCH, "--profile", "a", "--profile", "b", "--corpus", "c", "--open"),
            "--open has no effect with several --profile",
        ),
        ((*SEARCH, "--corpus", "c"), "--corpus has no effect without --save or --heatmap"),
        ((*SEARCH, "--synonyms", "s", "--operators"), "--synonyms has no effect with --operators"),
        (
            ("search", "index", "--like", "a", "--operators"),
            "--operators has no effect without TEXT",
        ),
        (("search", "index", "--like", "a", "--synonyms", "s"), "--synonyms has no effect without"),
        (
            ("judge", "c", "--export", "o", "--grade", "2", "--who", "a"),
            "--grade and --who have no",
        ),
        (
            ("deploy", "a", "--cloud", "t.a", "--timeout", "9"),
            "--timeout has no effect with --cloud",
        ),
        (("deploy", "a", "--environment", "perf"), "leave it out, or give --cloud."),
        (("deploy", "a", "--yes"), "--yes has no effect without --allow-removal or --allow-change"),
        ((*FEED, "--jsonl", "f", "--app", "a", "--delete"), "--delete has no effect with --jsonl"),
        ((*FEED, "--to", "index", "--app", "a"), "--app has no effect without a URL or --jsonl"),
        ((*FEED, "--to", "index", "--caption-vectors"), "--caption-vectors has no effect without"),
        (("swap", "start", "i", "c", "e", "--force"), "--force has no effect without --to"),
        (("classify", "c", "e", "--concepts", "--shots", "1"), "--shots has no effect with --conc"),
        (("label", "c", "e", "--decoder", "d", "--captions", "5"), "--captions has no effect with"),
        (("app", "i", "o", "--allow"), "--allow has no effect without --previous"),
        (("eval", "i", "c", "o", "--qrels", "q"), "--qrels has no effect without --topics"),
        (("eval", URL, "c", "o", "--seed-index", "i"), "--seed-index has no effect with a URL"),
        (
            ("plan", "--documents", "9", "--dim", "8", "--share"),
            "--share has no effect without --o",
        ),
        (
            ("plan", "--documents", "9", "--dim", "8", "--vectors", "0", "--links", "8"),
            "--links has no effect without --vectors",
        ),
    ],
)
def test_options_that_would_change_nothing_are_refused(line, said):
    result = run(*line)
    assert result.exit_code == 2
    assert said in result.output


def test_a_package_and_a_config_server_are_not_both_read():
    result = run("search", URL, "x", "--app", "a", "--config-url", URL)
    assert (result.exit_code, "--config-url has no effect with --app" in result.output) == (1, True)


def test_the_tables_of_options_without_effect_name_what_there_is():
    tables = {name: command for name, command in GROUP.commands.items() if name != "swap"}
    tables["swap start"] = GROUP.commands["swap"].commands["start"]
    for name, command in tables.items():
        names = {
            name
            for option in command.params
            for name in (*option.opts, *option.secondary_opts, option.metavar)
        }
        for rule in command.no_effect:
            assert {*rule.options.removeprefix("all but ").split()} <= names, name
            where = rule.where.partition(" ")[2].removeprefix("several ").split(" or ")
            assert {*where} <= names | {"a URL"}, name


def test_a_text_beside_an_export_of_judgements_is_refused():
    assert run("judge", "corpus", "lesion", "--export", "judged").exit_code == 2
