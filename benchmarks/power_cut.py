"""Cut the power 10,000 times and have what is left opened: what was lost, wrong, refused.

    python benchmarks/power_cut.py --images 10000

The workloads of tests/power are traced call by call: an index that is built, fed, changed, merged
and built anew, in drawn orders; a corpus that is written anew, embedded and fed through a ledger;
a swap there and back; the key and the judgements beside a corpus. After every operation stand the
images that POSIX permits, the plain ones and others drawn; each different one is opened by the
product and compared with what was acknowledged. Images are opened in this process, which has
imported all: some fifty a second.
Needs strace. TMPDIR=/dev/shm spares the disk.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from tests.power.cut import cuts, look_at, trace
from tests.power.workloads import (
    WORKLOADS,
    IndexExpectation,
    check_beside,
    check_feed,
    check_index,
    check_swap,
)

SHARES = {"index": 0.75, "fed": 0.14, "swap": 0.1, "beside": 0.01}
DRAWN = {"index": 30, "fed": 2, "swap": 60, "beside": 5}
ENOUGH = 1000  # images of one order of an index's changes


def main() -> int:
    """Run and print; the exit code is 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--workload", choices=WORKLOADS, action="append")
    options = parser.parse_args()
    failed = 0
    for name in options.workload or WORKLOADS:
        counted = run(name, round(options.images * SHARES[name]))
        failed += sum(count for told, count in counted["found"].items() if told != "right")
        print(json.dumps(counted), flush=True)
    return int(failed > 0)


def run(name: str, wanted: int) -> dict[str, object]:
    """Counts of what was found in images of one workload."""
    started = time.monotonic()
    found: Counter[str] = Counter()
    operations = seed = 0
    while found.total() < wanted:
        checks: dict[str, Callable[..., str]] = {
            "index": partial(check_index, IndexExpectation(seed)),
            "fed": check_feed,
            "swap": check_swap,
            "beside": check_beside,
        }
        seeds = (seed,) if name == "index" else ()
        count = min(wanted - found.total(), ENOUGH if seeds else wanted)
        operations += one_trace(name, seeds, checks[name], count, found)
        if not seeds:
            break
        seed += 1
    return {
        "workload": name,
        "operations": operations,
        "opened": found.total(),
        "found": dict(found),
        "seconds": round(time.monotonic() - started),
    }


def one_trace(
    name: str, seeds: tuple[int, ...], check: Callable[..., str], count: int, found: Counter[str]
) -> int:
    """Open up to `count` different images of one trace; how many operations it has."""
    with tempfile.TemporaryDirectory() as folder:
        traced = trace(name, Path(folder), *seeds)
        drawn = list(cuts(traced, random.Random(1), DRAWN[name]))
        random.Random(2).shuffle(drawn)
        for number, (step, image) in enumerate(islice(drawn, count)):
            further = {"further": number % 10 == 0} if name == "index" else {}
            asked = partial(check, acknowledged=step, **further)
            told = look_at(image, Path(folder) / "cut", asked)
            found[told or "right"] += 1
    return len(traced.operations)


if __name__ == "__main__":
    raise SystemExit(main())
