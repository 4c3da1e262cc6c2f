"""Requests that the stand-in recorded, given to Vespa's own code: is each understood there?

The stand-in answers what this project's client sends, whatever Vespa says of it. So each package
is validated, and each query parsed, by the kit in ../shared/vespa-check.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIT = Path(__file__).resolve().parents[3] / "shared" / "vespa-check" / "vespa-check"
CORES = 2

_INPUT = re.compile(r"input\.query\((\w+)\)")
_DECLARED = re.compile(r"(?:vespa\.type\.query\.(\w+)|query\((\w+)\))")


@dataclass(frozen=True)
class Checked:
    packages: int
    requests: tuple[dict[str, Any], ...]
    refused: tuple[str, ...]


def check_recorded(record: Path, kit: Path) -> Checked:
    """Validate the packages of a record, strictly, and parse all that they were asked."""
    packages = sorted(path for path in record.iterdir() if path.is_dir())
    answers = run(kit, "validate", "--strict", "-", lines=map(str, packages))
    refused = [json.dumps(each) for each in answers if not each["ok"]]
    if refused:
        return Checked(len(packages), (), tuple(refused))
    inputs = [_inputs(each["schemas"]["image"]["rank-profiles"]) for each in answers]
    asked = [_asked(package.with_suffix(".jsonl")) for package in packages]
    with ThreadPoolExecutor(CORES) as pool:
        found = pool.map(lambda *each: [*_refused(kit, *each)], packages, asked, inputs)
        refused = [line for lines in found for line in lines]
    requests = tuple(body for bodies in asked for body in bodies)
    return Checked(len(packages), requests, tuple(refused))


def _inputs(profiles: dict[str, list[list[str]]]) -> dict[str, set[str]]:
    """The declared inputs of each rank profile."""
    return {
        name: {
            found[1] or found[2] for each, _ in properties if (found := _DECLARED.fullmatch(each))
        }
        for name, properties in profiles.items()
    }


def _asked(requests: Path) -> list[dict[str, Any]]:
    """Each request once; some had to end too early, which is no matter of how they are written."""
    lines = requests.read_text("utf-8").splitlines() if requests.exists() else []
    bodies = [json.loads(line) | {"timeout": "60s"} for line in lines]
    return [*{json.dumps(body): body for body in bodies}.values()]


def _refused(
    kit: Path, package: Path, bodies: list[dict[str, Any]], inputs: dict[str, set[str]]
) -> Iterator[str]:
    if not bodies:
        return
    answers = run(kit, "yql", package, lines=map(json.dumps, bodies))
    for body, answer in zip(bodies, answers, strict=True):
        profile = body["ranking.profile"]
        unknown = {m[1] for m in map(_INPUT.fullmatch, body) if m} - inputs.get(profile, set())
        if not answer["ok"] or answer["profile"] != profile or unknown:
            said = json.dumps(answer.get("errors", answer))
            yield f"{package.name}: {json.dumps(body)}: {said}, unknown inputs: {sorted(unknown)}"


def run(kit: Path, *arguments: str | Path, lines: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The kit's answers, one to each line."""
    done = subprocess.run(
        [kit, *arguments],
        input="".join(f"{line}\n" for line in lines),
        env={"VESPA_CHECK_JAVA_OPTS": "-XX:TieredStopAtLevel=1", **os.environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]
