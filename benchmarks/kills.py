"""Kill every job with SIGKILL at a random moment, see what is left, and run it again.

    python benchmarks/kills.py --kills 200
    python benchmarks/kills.py --kills 200 --job swap --job feed

A job runs in a fork of this process, which has imported all, so the moment falls into its work: it
is drawn from the time that the whole job takes. What is left must be whole: the old state or the
new one, and whatever was confirmed. Then the job runs again, to its end, and must give what one
gives that nobody kills, with nothing left over. TMPDIR=/dev/shm spares the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.kills.forks import ask, fork, wait
from tests.kills.jobs import JOBS, Job

WARM_UP = 3  # whole runs that tell how long a job takes
FAULTS = ("ended in error", "WRONG")


def main() -> int:
    """Run and print; the exit code is 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faults = 0
    for name in options.job or JOBS:
        told = drill(JOBS[name], options.kills, random.Random(options.seed))
        print(json.dumps({"job": name, **told}), flush=True)
        faults += sum(count for what, count in told.items() if what.startswith(FAULTS))
    return int(faults > 0)


def drill(job: Job, kills: int, chosen: random.Random) -> dict[str, Any]:
    """Kill a job so often; how often what was left, and what was wrong."""
    found: Counter[str] = Counter()
    times: list[float] = []
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        made.mkdir()
        if job.here:
            job.prepare(made)
        else:
            wait(fork(job.prepare, made))
        expected = ""
        for _ in range(1 if job.seconds else WARM_UP):
            root = fresh(made)
            started = time.monotonic()
            if not job.seconds:
                wait(fork(job.work, root))
            times.append(job.seconds or time.monotonic() - started)
            expected = ask(job.result, root)
            assert not expected.startswith(FAULTS), expected
        before = {path.name for path in root.iterdir()}
        while done < kills:
            root = fresh(made)
            if not killed(job, root, chosen.uniform(0, statistics.median(times))):
                ask(job.result, root)
                continue
            done += 1
            found[ask(job.left, root)] += 1
            if not job.seconds:
                found[wait(fork(job.work, root)) or "came through"] += 1
            else:
                found["came through"] += 1
            if ask(job.result, root) != expected:
                found["WRONG result"] += 1
            further = {path.name for path in root.iterdir()} - before
            if further - {"confirmed", "corpus.judgements.jsonl"}:
                found[f"WRONG: left over {sorted(further)}"] += 1
    return {"kills": done, "seconds of a whole job": round(statistics.median(times), 2), **found}


def fresh(made: Path) -> Path:
    """A copy of what is there before the job."""
    root = made.with_name("round")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made, root)
    return root


def killed(job: Job, root: Path, moment: float) -> bool:
    """Run the job and kill it at a moment; False where it was faster."""
    child = fork(job.work, root)
    other = fork(job.beside, root) if job.beside else 0
    until = time.monotonic() + moment
    over, status = 0, 0
    while not over and time.monotonic() < until:
        time.sleep(0.0005)
        over, status = os.waitpid(child, os.WNOHANG)
    if not over:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if other:
        time.sleep(0.01)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    sys.exit(main())
