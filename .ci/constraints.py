"""Write constraints.txt: the version of every package that pyproject.toml asks for, as tried here.

    make constraints

Versions are those of the environment that runs this, the one in which the tests passed. Builds of
torch are the user's choice: local parts of versions (+cpu) and NVIDIA's libraries are left out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OF_A_BUILD = re.compile(r"nvidia-|cuda-|triton$")
HEAD = "# Made by `make constraints` from pyproject.toml: versions that were tried together.\n"


def asked() -> list[Requirement]:
    """What pyproject.toml names, extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    texts += [text for extra in extras for text in extra]
    return [each for each in map(Requirement, texts) if each.name != "rocosearch"]


def installed(requirements: list[Requirement]) -> dict[str, str]:
    """Versions of these packages and of what they need, by name, as far as they are here."""
    found: dict[str, str] = {}
    waiting = [(each, extra) for each in requirements for extra in ("", *each.extras)]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen or OF_A_BUILD.match(name):
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = package.version.partition("+")[0]
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, further) for further in ("", *needed.extras)]
    return found


def main() -> int:
    """Write the file; packages that are not installed keep the line they had."""
    path = ROOT / "constraints.txt"
    old = path.read_text("utf-8").splitlines() if path.exists() else []
    lines = dict(line.split("==") for line in old if "==" in line)
    lines |= installed(asked())
    text = "".join(f"{name}=={version}\n" for name, version in sorted(lines.items()))
    path.write_text(HEAD + text, "utf-8")
    missing = [each.name for each in asked() if canonicalize_name(each.name) not in lines]
    if missing:
        sys.stderr.write(f"Not installed here, and without a line: {', '.join(missing)}.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
