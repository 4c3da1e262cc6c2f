"""A cold start and the memory of one engine, in a process of its own (Linux).

    python benchmarks/new_process.py ENGINE FOLDER [--effort N] < QUERIES

ENGINE is rocosearch, before (an earlier version) or a rival, FOLDER what benchmarks/engine.py kept
of it, QUERIES two lines of JSON: one query, and all. A cold start is the time from the start of the
process, imports included, to its first hybrid hits; the files are in the system's cache. Memory is
what the process grew by from before the index was opened, with all libraries loaded, until every
query was answered three times: by words, by vector, by both.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from made_up import Asked, as_json, from_json

__all__ = ["in_new_process"]

ROUNDS = 3


def in_new_process(
    name: str,
    folder: Path,
    queries: Sequence[Asked],
    effort: int = 0,
    python: str = sys.executable,
) -> dict[str, float]:
    """Seconds of a cold start; mebibytes of its own, and of mapped files; medians of some."""
    command = [python, __file__, name, str(folder.resolve()), "--effort", str(effort)]
    lines = json.dumps(as_json(queries[:1])) + "\n", json.dumps(as_json(queries))
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )
        process.stdin.write(lines[0])
        process.stdin.flush()
        process.stdout.readline()
        cold = time.perf_counter() - start
        told, _ = process.communicate(lines[1])
        rounds.append({"cold_s": cold, **json.loads(told)})
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def main() -> None:
    """Answer one query and say so, answer all, and print the memory as a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--effort", type=int, default=0)
    options = parser.parse_args()
    opened = ours() if options.engine in ("rocosearch", "before") else rival(options.engine)
    own, mapped = resident()
    asks = opened(options.folder, options.effort)
    asks[-1](*next_line())
    print("first hybrid hits", flush=True)
    for asked in next_line():
        for ask in asks:
            ask(asked)
    now = resident()
    print(json.dumps({"own_mb": round(now[0] - own), "mapped_mb": round(now[1] - mapped)}))


Opened = Callable[[Path, int], list[Callable[[Asked], object]]]


def ours() -> Opened:
    """Load our engine; what opens its index, to ask by words, by vector and by both."""
    from ours import EmbeddedEngine, searches  # noqa: PLC0415 - what is not measured stays out

    def opened(folder: Path, effort: int) -> list[Callable[[Asked], object]]:
        found = searches(EmbeddedEngine.open(folder / "index"))
        return [found[name] for name in ("lexical", "vector", "hybrid")]

    return opened


def rival(name: str) -> Opened:
    """Load a rival; what opens its index, to ask by words, by vector and by both."""
    from rivals import RIVALS, K  # noqa: PLC0415

    kind = RIVALS[name]
    for module in kind.modules:
        importlib.import_module(module)

    def opened(folder: Path, effort: int) -> list[Callable[[Asked], object]]:
        found = kind(folder)
        found.effort = effort or found.effort
        return [
            lambda asked: found.lexical(asked.text, K),
            lambda asked: found.vector(asked.vector, K),
            lambda asked: found.hybrid(asked, K),
        ]

    return opened


def next_line() -> list[Asked]:
    """The queries of the next line."""
    return from_json(json.loads(sys.stdin.readline()))


def resident() -> tuple[float, float]:
    """Mebibytes in memory now: the process's own (anonymous), and pages of mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Anonymous"] / 1024, (kib["Rss"] - kib["Anonymous"]) / 1024


if __name__ == "__main__":
    main()
