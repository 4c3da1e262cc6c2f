"""Kill a swap with SIGKILL at random moments, again and again, until it comes through.

    python benchmarks/kill_swap.py INDEX CORPUS ENCODER --kills 20

INDEX is copied first; ENCODER is another one than the index's. At the end the copy must have
the new encoder and all documents, whatever was killed when.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from encoders.manifest import Manifest
from ranking.embedded import EmbeddedEngine
from rocosearch.swap import open_swap, start_on_index


def whole_swap(index: Path, corpus: Path, encoder: Path) -> None:
    """Do all steps that are not done yet, up to the switch."""
    swap = start_on_index(index, corpus, encoder)
    if swap.state.stage in {"started", "backfilled"}:
        swap.backfill()
    swap.switch(force=True)


def main() -> int:
    """Run it; the exit code is 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("index", "corpus", "encoder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds of work before a kill")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print("ready", flush=True)
        whole_swap(given.index, given.corpus, given.encoder)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        shutil.copytree(given.index, index)
        return drill(index, given)


def drill(index: Path, given: argparse.Namespace) -> int:
    """Kill, then let it come through, and look at what is there."""
    expected = set(EmbeddedEngine.open(index).ids())
    command = [sys.executable, __file__, index, given.corpus, given.encoder, "--work"]
    chosen = random.Random(0)
    killed = 0
    for _ in range(given.kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(chosen.uniform(0, given.longest))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    engine = EmbeddedEngine.open(index)
    (field,) = engine.info().vector_fields
    right = field.fingerprint == Manifest.load(given.encoder).fingerprint
    complete = set(engine.ids()) == expected
    stage = open_swap(index.with_name("index.swap")).state.stage
    print(
        f"{killed} kills; new encoder: {right}; all {len(expected)} documents: {complete}; {stage}"
    )
    return int(not (right and complete))


if __name__ == "__main__":
    sys.exit(main())
