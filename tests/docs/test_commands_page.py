"""docs/commands.md has a section for each command, with every option and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from rocosearch.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## rocosearch ([\w-]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
COMMANDS = typer.main.get_command(app).commands


def _parameters(name: str) -> list:
    """Of the command, or of all steps of a group such as swap."""
    command = COMMANDS[name]
    parts = [command, *getattr(command, "commands", {}).values()]
    return [parameter for part in parts for parameter in part.params]


def test_every_command_has_its_section():
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_table(name):
    options = {o for p in _parameters(name) if p.param_type_name == "option" for o in p.opts}
    documented = set(re.findall(r"^\| `(-[\w-]+)`", SECTIONS[name], re.M))
    assert documented == options


@pytest.mark.parametrize("name", COMMANDS)
def test_pages_named_in_the_help_exist(name):
    texts = [COMMANDS[name].help or "", *(getattr(p, "help", "") or "" for p in _parameters(name))]
    pages = re.findall(r"docs/[\w/-]+\.md", " ".join(texts))
    assert [page for page in pages if not (ROOT / page).exists()] == []
