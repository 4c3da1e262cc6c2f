"""Memory that one engine takes to search its index, measured in a process of its own (Linux).

    python benchmarks/memory.py ENGINE FOLDER [--effort N] < QUERIES

ENGINE is rocosearch or a rival, FOLDER what benchmarks/engine.py kept of it, QUERIES a JSON list of
{"text", "vector"}. Printed is what the process grew by from before the index was opened, with all
libraries loaded, until every query was answered three times: by words, by vector, by both.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_up import Asked
from rivals import RIVALS

from ranking.engine.engine import EmbeddedEngine
from ranking.types import Query

__all__ = ["OURS", "memory_of"]

OURS = "rocosearch"
K = 10


def memory_of(name: str, folder: Path, queries: Sequence[Asked], effort: int = 0) -> dict[str, int]:
    """Measure an engine in a new process: mebibytes of its own, and of mapped files."""
    asked = [{"text": each.text, "vector": each.vector.tolist()} for each in queries]
    command = [sys.executable, __file__, name, str(folder), "--effort", str(effort)]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine", choices=[OURS, *RIVALS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--effort", type=int, default=0)
    options = parser.parse_args()
    queries = [
        Asked(each["text"], np.array(each["vector"], np.float32)) for each in json.load(sys.stdin)
    ]
    if options.engine != OURS:
        for module in RIVALS[options.engine].modules:
            importlib.import_module(module)
    own, mapped = resident()
    search = opened(options.engine, options.folder, options.effort)
    for asked in queries:
        search(asked)
    now = resident()
    grown = {"own_mb": round(now[0] - own), "mapped_mb": round(now[1] - mapped)}
    print(json.dumps(grown))


def opened(name: str, folder: Path, effort: int) -> Callable[[Asked], None]:
    """Open an index; return what asks it a query by words, by vector and by both."""
    if name == OURS:
        engine = EmbeddedEngine.open(folder / "index")

        def ask(asked: Asked) -> None:
            both = Query(asked.text, asked.vector, "hybrid", k=K, with_documents=False)
            for query in (replace(both, profile="lexical"), replace(both, profile="vector"), both):
                engine.search(query)

        return ask
    rival = RIVALS[name](folder)
    rival.effort = effort or rival.effort

    def ask_rival(asked: Asked) -> None:
        rival.lexical(asked.text, K)
        rival.vector(asked.vector, K)
        rival.hybrid(asked, K)

    return ask_rival


def resident() -> tuple[float, float]:
    """Mebibytes in memory now: the process's own (anonymous), and pages of mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["Anonymous"] / 1024, (kib["Rss"] - kib["Anonymous"]) / 1024


if __name__ == "__main__":
    main()
