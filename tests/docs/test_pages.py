"""What README and docs say about commands, files and folders is true."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from rocosearch.cli import app

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = sorted([*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
INLINE = re.compile(r"`([^`\n]+)`")


def blocks(text: str, language: str | None = None) -> list[str]:
    """Contents of the fenced blocks, those of one language where it is named."""
    return [body for name, body in FENCE.findall(text) if language in {None, name}]


def links(text: str) -> list[str]:
    """Targets of the links that point into the project."""
    return [link for link in LINK.findall(text) if "://" not in link]


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of every whole `rocosearch ...` line inside a fenced block."""
    for body in blocks(text):
        for line in body.replace("\\\n", " ").splitlines():
            words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if words.startswith("rocosearch "):
                yield shlex.split(words, comments=True)[1:]


def mentioned_commands(text: str) -> Iterator[str]:
    """The subcommand of every `rocosearch X ...` in running text."""
    for code in INLINE.findall(FENCE.sub("", text)):
        name = re.match(r"rocosearch ([a-z]+)", code)
        if name:
            yield name[1]


GROUP = typer.main.get_command(app)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_parse(page):
    """Options exist, arguments are as many as the command takes, values are of their kind."""
    for words in commands(page.read_text("utf-8")):
        command = GROUP
        while hasattr(command, "commands"):
            name, *words = words  # noqa: PLW2901 - a step down into the group
            assert name in command.commands, f"rocosearch {name}"
            command = command.commands[name]
        if "--help" not in words:
            command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_mentioned_exist(page):
    assert set(mentioned_commands(page.read_text("utf-8"))) - {"COMMAND"} <= set(GROUP.commands)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    missing = [link for link in links(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_anchors_of_links_exist(page):
    targets = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8"))
    inside = [(name, anchor) for name, anchor in targets if "://" not in name]
    assert [
        f"{name}#{anchor}"
        for name, anchor in inside
        if anchor not in anchors(page.parent / name if name else page)
    ] == []


def test_readme_names_every_command():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in GROUP.commands if f"rocosearch {name}" not in readme] == []


def tree_of_readme():
    """The paths that README's tree names, each line under the line it is indented below."""
    tree = next(b for b in blocks((ROOT / "README.md").read_text("utf-8")) if "encoders/" in b)
    above: list[str] = []
    paths = []
    for line in filter(str.strip, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], line.split()[0]]
        paths.append(Path(*above))
    return paths


def test_the_tree_has_a_line_for_every_folder_of_code():
    folders = {
        path.parent.relative_to(ROOT)
        for package in ("encoders", "ranking", "vespa_app", "ingest", "eval", "rocosearch")
        for path in (ROOT / package).rglob("*.py")
    }
    assert sorted(folders - set(tree_of_readme())) == []


def test_the_tree_names_only_what_exists():
    assert [path for path in tree_of_readme() if not (ROOT / path).exists()] == []


def test_docs_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = [p.relative_to(ROOT / "docs") for p in PAGES if (ROOT / "docs") in p.parents]
    assert [str(p) for p in pages if str(p) != "README.md" and f"({p})" not in index] == []


def test_the_python_example_does_the_whole_job(tmp_path, monkeypatch):
    """As it stands in the README, but with fewer phantoms and a moment of training."""
    example = next(blocks((ROOT / "README.md").read_text("utf-8"), "python").__iter__())
    assert len(example.strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    quick = example.replace("phantoms:2700", "phantoms:100").replace('"tiny"', '"tiny", epochs=1')
    assert quick.count("epochs=1") == quick.count("phantoms:100") == 1
    exec(compile(quick, "README.md", "exec"), {})
    assert (tmp_path / "build/report/metrics.json").exists()
    assert (tmp_path / "build/app/services.xml").exists()


def test_figures_of_readme_stand_in_the_results():
    """README repeats some figures of docs/results.md: both say the same."""
    readme = (ROOT / "README.md").read_text("utf-8").split("## Results on real data")[1]
    results = (ROOT / "docs" / "results.md").read_text("utf-8")
    figures = set(re.findall(r"\d+\.\d+(?: \([^)]*\d\))?", readme.split("## Where things are")[0]))
    assert len(figures) > 20
    assert sorted(figure for figure in figures if figure not in results) == []
