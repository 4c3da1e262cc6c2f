"""constraints.txt has a version of everything that pyproject.toml asks for, and it fits."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
PINNED = dict(line.split("==") for line in LINES if not line.startswith("#"))


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in extras.values() for text in extra)]
    return [each for each in map(Requirement, texts) if each.name != "rocosearch"]


@pytest.mark.parametrize("requirement", asked(), ids=str)
def test_it_does_not_lag(requirement):
    """Else run `make constraints` and commit what it writes."""
    version = PINNED.get(canonicalize_name(requirement.name))
    assert version, f"{requirement.name} has no line: run `make constraints`"
    assert requirement.specifier.contains(version, prereleases=True)


def test_it_names_versions_and_nothing_else():
    """No address of an index, and no build of torch."""
    assert [
        line for line in LINES[1:] if not re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.!]+", line)
    ] == []
    assert not [name for name in PINNED if name.startswith("nvidia-")]
