"""Kill a swap with SIGKILL at a random moment of it, see what is left, and let it come through.

    python benchmarks/kill_swap.py INDEX CORPUS ENCODER --kills 20

ENCODER is another one than the index's. Every round takes copies of INDEX and CORPUS, kills one
process at a random moment of the whole swap, and runs another to the end. Rounds end in turn with
`finish` (the index must then have the new encoder) and with `rollback` (the old one); always it
must hold all documents, and no folder of the swap may be left. What is in use when the process is
killed must be one whole index or the other; only between the two renames of a switch may there be
none.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from encoders.model.manifest import Manifest
from ranking.engine.engine import EmbeddedEngine
from ranking.types import EngineError
from rocosearch.swap import SwapError, open_swap, start_on_index

WAYS = ("finish", "rollback")


def whole_swap(index: Path, corpus: Path, encoder: Path, way: str) -> None:
    """Do all steps that are not done yet, and end the swap in the way that is asked for."""
    folder = index.with_name(f"{index.name}.swap")
    if folder.exists() or fingerprint(index) != Manifest.load(encoder).fingerprint:
        swap = start_on_index(index, corpus, encoder)
        if swap.state.stage == "started":
            swap.backfill()
        swap.switch(force=True)
        if way == "finish":
            swap.finish()
    while way == "rollback" and folder.exists():
        open_swap(folder).rollback()


def fingerprint(index: Path) -> str:
    """Of the encoder whose vectors the index holds."""
    return EmbeddedEngine.open(index).info().vector_fields[0].fingerprint


def main() -> int:
    """Run it; the exit code is 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("index", "corpus", "encoder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print("ready", flush=True)
        whole_swap(given.index, given.corpus, given.encoder, given.work)
        return 0
    chosen = random.Random(0)
    expected = set(EmbeddedEngine.open(given.index).ids())
    longest, found = one_round(given, None, "finish", expected)
    seen = Counter(found)
    done = 0
    while done < given.kills:
        took, found = one_round(given, chosen.uniform(0, longest), WAYS[done % 2], expected)
        if found[0] == "ended before the kill":
            longest = min(longest, took)  # the first swap has the disk to warm
            continue
        done += 1
        seen.update(found)
    print(json.dumps({"kills": done, "seconds of a whole swap": round(longest, 1), **seen}))
    return int(any(name.startswith("WRONG") for name in seen))


def one_round(
    given: argparse.Namespace, moment: float | None, way: str, expected: set[str]
) -> tuple[float, list[str]]:
    """Seconds of the first process, and what was found after it and at the end."""
    with tempfile.TemporaryDirectory() as folder:
        index, corpus = Path(folder) / "index", Path(folder) / "corpus"
        shutil.copytree(given.index, index)
        shutil.copytree(given.corpus, corpus)
        new = Manifest.load(given.encoder).fingerprint
        shutil.rmtree(corpus / "embeddings" / new, ignore_errors=True)
        command = [sys.executable, __file__, index, corpus, given.encoder, "--work", way]
        started, killed = run(command, moment)
        found = [left(index, expected) if killed else "ended before the kill"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        right = fingerprint(index) == (new if way == "finish" else fingerprint(given.index))
        whole = set(EmbeddedEngine.open(index).ids()) == expected
        clean = [path.name for path in Path(folder).iterdir() if "swap" in path.name] == []
        found.append("came through" if right and whole and clean else f"WRONG after {way}")
        return started, found


def run(command: list[object], moment: float | None) -> tuple[float, bool]:
    """Seconds from its readiness to its end, and whether it was killed at `moment`."""
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return time.monotonic() - started, True
        return time.monotonic() - started, False


def left(index: Path, expected: set[str]) -> str:
    """What a kill has left: the stage of the swap, and whether the index in use is whole."""
    try:
        stage = open_swap(index.with_name(f"{index.name}.swap")).state.stage
    except SwapError:
        stage = "no swap"
    try:
        whole = set(EmbeddedEngine.open(index).ids()) == expected
    except EngineError:
        return f"killed when {stage}: no index, between two renames"
    return f"{'' if whole else 'WRONG '}killed when {stage}: index whole"


if __name__ == "__main__":
    sys.exit(main())
