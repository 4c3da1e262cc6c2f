"""Kill every job with SIGKILL at a random moment, see what is left, and run it again.

    python benchmarks/kills.py --kills 200
    python benchmarks/kills.py --kills 200 --job swap --job feed

A job runs in a fork of this process, which has imported all, so the moment falls into its work.
Three of four moments are drawn from the time in which names that others read are changed, from the
first rename that puts something in place to the end; the others, and those of a job that renames
nothing, from the whole job. What is left must be whole: the old state or the new one, and whatever
was confirmed. Then the job runs again, to its end, and must give what one gives that nobody kills,
with nothing left over.
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
from collections.abc import Callable
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
    windows: list[float] = []
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
                windows += filter(None, [timed(job, root)])
            times.append(job.seconds or time.monotonic() - started)
            expected = ask(job.result, root)
            assert not expected.startswith(FAULTS), expected
        before = {path.name for path in root.iterdir()}
        while done < kills:
            root = fresh(made)
            within = bool(windows) and done % 4 > 0
            moment = chosen.uniform(0, statistics.median(windows if within else times))
            if not killed(job, root, moment, within=within):
                ask(job.result, root)
                continue
            done += 1
            found["while names are changed"] += within
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
    told = {"kills": done, "seconds of a whole job": round(statistics.median(times), 2)}
    if windows:
        told["of them names are changed in"] = round(statistics.median(windows), 4)
    return {**told, **found}


def fresh(made: Path) -> Path:
    """A copy of what is there before the job."""
    root = made.with_name("round")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made, root)
    return root


def killed(job: Job, root: Path, moment: float, *, within: bool) -> bool:
    """Run the job and kill it at a moment; False where it was faster.

    within: the moment counts from the first name that the job changes.
    """

    def work(root: Path) -> None:
        if within:
            when_changed(root, lambda: alarm(moment))
        else:
            alarm(moment)
        job.work(root)

    child = fork(work, root)
    other = fork(job.beside, root) if job.beside else 0
    _, status = os.waitpid(child, 0)
    if other:
        time.sleep(0.01)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    return os.WIFSIGNALED(status)


def alarm(moment: float) -> None:
    """The kernel ends this process then, as SIGKILL does: nothing handles SIGALRM."""
    signal.setitimer(signal.ITIMER_REAL, max(moment, 1e-6))


def timed(job: Job, root: Path) -> float:
    """Run the job to its end; seconds from the first name that it changed, 0 if none."""
    reader, writer = os.pipe()
    moments: list[float] = []

    def work(root: Path) -> None:
        when_changed(root, lambda: moments.append(time.monotonic()))
        job.work(root)
        taken = time.monotonic() - moments[0] if moments else 0.0
        os.write(writer, repr(taken).encode())

    child = fork(work, root)
    os.close(writer)
    wait(child)
    with os.fdopen(reader) as told:
        return float(told.read())


def when_changed(root: Path, told: Callable[[], object]) -> None:
    """Call once, before the first rename from or to a name that is not hidden."""
    waiting = [told]

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "os.rename" and waiting and any(visible(root, name) for name in given[:2]):
            waiting.pop()()

    sys.addaudithook(hook)


def visible(root: Path, name: str | os.PathLike[str]) -> bool:
    """Whether a name below `root` is one that others read: a temporary one starts with a dot."""
    return not any(part.startswith(".") for part in Path(os.path.relpath(name, root)).parts)


if __name__ == "__main__":
    sys.exit(main())
