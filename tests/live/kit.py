"""Requests that the stand-in recorded, given to Vespa's own code: is each understood there?

The stand-in answers what this project's client sends, whatever Vespa says of it. So each package
is validated, and each query parsed, by the kit in ../shared/vespa-check.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

KIT = Path(__file__).resolve().parents[3] / "shared" / "vespa-check" / "vespa-check"
SECONDS = 300.0  # of one call
_OPTIONS = "VESPA_CHECK_JAVA_OPTS"

_INPUT = re.compile(r"input\.query\((\w+)\)")
_DECLARED = re.compile(r"(?:vespa\.type\.query\.(\w+)|query\((\w+)\))")


@dataclass(frozen=True)
class Checked:
    packages: int
    requests: tuple[dict[str, Any], ...]
    refused: tuple[str, ...]


class Kit:
    """Vespa's own code as a function: arguments and input lines in, its JSON lines out.

    Starting Java takes longer than most answers, so a process answers all calls that have the same
    arguments. One whose arguments hold a `Path`, of an application, ends when another is needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[tuple[str, ...], KitProcess] = {}
        self._last: KitProcess | None = None

    def __call__(self, *arguments: str | Path, lines: Iterable[str] = ()) -> list[dict[str, Any]]:
        """The answers, one to each line."""
        words = tuple(map(str, arguments))
        if not any(isinstance(each, Path) for each in arguments):
            if words not in self._kept:
                self._kept[words] = KitProcess(self._path, words)
            return self._kept[words].ask(lines)
        if self._last is None or self._last.arguments != words:
            self.end_application()
            self._last = KitProcess(self._path, words)
        return self._last.ask(lines)

    def validate(self, *applications: Path) -> list[dict[str, Any]]:
        """What `vespa deploy` would say of each, strictly."""
        return self("validate", "--strict", "-", lines=map(str, applications))

    def end_application(self) -> None:
        """End the process of an application: its container takes CPU time while it waits."""
        if self._last is not None:
            self._last.close()
        self._last = None

    def close(self) -> None:
        self.end_application()
        for process in self._kept.values():
            process.close()
        self._kept.clear()


class KitProcess:
    """A process of the kit that answers line by line."""

    def __init__(self, kit: Path, arguments: tuple[str, ...]) -> None:
        self.arguments = arguments
        self._open = ExitStack()
        environment = self._open.enter_context(java_environment())
        self._said = self._open.enter_context(
            tempfile.TemporaryFile("w+")  # noqa: SIM115
        )
        self._process = self._open.enter_context(
            subprocess.Popen(
                [kit, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                env=environment,
            )
        )

    def ask(self, lines: Iterable[str]) -> list[dict[str, Any]]:
        timer = Timer(SECONDS, self._process.kill)
        timer.start()
        try:
            return [self._answer(line) for line in lines]
        finally:
            timer.cancel()

    def _answer(self, line: str) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            print(line, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            self._said.seek(0)
            raise AssertionError(f"The kit ended: {self._said.read()}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        self._process.kill()
        self._open.close()


@contextmanager
def java_environment() -> Iterator[dict[str, str]]:
    """An environment in which the kit's temporary files lie in a folder that is removed."""
    options = os.environ.get(_OPTIONS, "")
    with tempfile.TemporaryDirectory(prefix="kit-", ignore_cleanup_errors=True) as folder:
        yield {**os.environ, _OPTIONS: f"{options} -Djava.io.tmpdir={folder}"}


def check_recorded(record: Path, kit: Kit) -> Checked:
    """Validate the packages of a record, strictly, and parse all that they were asked."""
    packages = sorted(path for path in record.iterdir() if path.is_dir())
    answers = kit.validate(*packages)
    refused = [json.dumps(each) for each in answers if not each["ok"]]
    if refused:
        return Checked(len(packages), (), tuple(refused))
    inputs = [_inputs(each["schemas"]["image"]["rank-profiles"]) for each in answers]
    asked = [_asked(package.with_suffix(".jsonl")) for package in packages]
    found = (_refused(kit, *each) for each in zip(packages, asked, inputs, strict=True))
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
    kit: Kit, package: Path, bodies: list[dict[str, Any]], inputs: dict[str, set[str]]
) -> Iterator[str]:
    if not bodies:
        return
    answers = kit("yql", package, lines=map(json.dumps, bodies))
    for body, answer in zip(bodies, answers, strict=True):
        profile = body["ranking.profile"]
        unknown = {m[1] for m in map(_INPUT.fullmatch, body) if m} - inputs.get(profile, set())
        if not answer["ok"] or answer["profile"] != profile or unknown:
            said = json.dumps(answer.get("errors", answer))
            yield f"{package.name}: {json.dumps(body)}: {said}, unknown inputs: {sorted(unknown)}"
