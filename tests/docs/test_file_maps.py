"""Every folder of code says in its `__init__` what each of its files is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("encoders", "ranking", "vespa_app", "ingest", "eval", "rocosearch")
FOLDERS = sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")})
# One file for each command, protocol or data set: their names say what is in them.
ALIKE = {"rocosearch/commands", "eval/protocols", "ingest/sources"}


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(f.relative_to(ROOT)) for f in FOLDERS])
def test_the_map_names_every_file_and_no_other(folder: Path) -> None:
    described = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    words = [line.split()[0] for line in described.splitlines() if line.split()]
    named = {word for word in words if word.endswith((".py", ".cpp", ".h"))}
    assert sorted(name for name in named if not (folder / name).exists()) == []
    if str(folder.relative_to(ROOT)) not in ALIKE:
        assert sorted(files - named) == []
