"""An earlier version of the engine, installed in another interpreter, measured in turns.

`Earlier` starts this file there. It builds its own index once, tells what it measured of that, and
then answers a line of JSON (what to ask, queries) by a line of JSON: seconds of each query. Its
clock does not see the pipe.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from made_up import Asked, as_json, from_json, read_corpus
from ours import (
    EmbeddedEngine,
    build,
    recall,
    searches,
    seconds_of,
    size_mb,
    true_nearest,
)

__all__ = ["Earlier"]


class Earlier:
    """The process; `row` is what it told of its index."""

    def __init__(self, python: str, folder: Path, corpus: Path, queries: Sequence[Asked]) -> None:
        """Start it; corpus: the folder of `kept_corpus`."""
        command = [python, __file__, str(folder.resolve()), str(corpus.resolve())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder.parent
        )
        self.row: dict[str, Any] = self._ask(as_json(queries))

    def seconds_of(self, name: str, queries: Sequence[Asked]) -> list[float]:
        """How long each query took, by its own clock; name: one of PROFILES."""
        found: list[float] = self._ask([name, as_json(queries)])
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self, told: object) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(told), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the earlier version's process ended: its error is above")
        return json.loads(line)


def main() -> None:
    """Build, open, and answer lines until there are no more."""
    folder, corpus = Path(sys.argv[1]), read_corpus(Path(sys.argv[2]))
    queries = from_json(json.loads(sys.stdin.readline()))
    row = {"build_s": build(corpus, folder)}
    start = time.perf_counter()
    engine = EmbeddedEngine.open(folder / "index")
    row["open_ms"] = 1000 * (time.perf_counter() - start)
    row["size_mb"] = size_mb(folder / "index")
    asks = searches(engine)
    row["recall@10"] = recall(asks["vector"], queries, true_nearest(corpus.vectors, queries))
    print(json.dumps(row), flush=True)
    for line in sys.stdin:
        name, asked = json.loads(line)
        print(json.dumps(seconds_of(asks[name], from_json(asked))), flush=True)


if __name__ == "__main__":
    main()
