"""Cut the power 10,000 times and have what is left opened: what was lost, wrong, refused.

    python benchmarks/power_cut.py --images 10000

The workloads of tests/power are traced call by call: an index that is built, fed, changed, merged
and built anew; a corpus that is written anew, embedded and fed through a ledger; a swap there and
back. After every operation stand the images that POSIX permits, the plain ones and others drawn;
each different one is opened by the product and compared with what was acknowledged. Needs strace.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

from tests.power.cut import cuts, look_at, trace
from tests.power.workloads import (
    WORKLOADS,
    IndexExpectation,
    check_feed,
    check_index,
    check_swap,
)

SHARES = {"index": 0.75, "fed": 0.15, "swap": 0.1}
DRAWN = {"index": 30, "fed": 2, "swap": 8}


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
    expected = IndexExpectation()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        traced = trace(name, Path(folder))
        drawn = list(cuts(traced, random.Random(1), DRAWN[name]))
        random.Random(2).shuffle(drawn)
        for number, (step, image) in enumerate(islice(drawn, wanted)):
            check = {
                "index": partial(check_index, expected, further=number % 10 == 0),
                "fed": check_feed,
                "swap": check_swap,
            }[name]
            told = look_at(image, Path(folder) / "cut", partial(check, acknowledged=step))
            found[told.partition(":")[0] or "right"] += 1
    return {
        "workload": name,
        "operations": len(traced.operations),
        "different images": len(drawn),
        "opened": found.total(),
        "found": dict(found),
        "seconds": round(time.monotonic() - started),
    }


if __name__ == "__main__":
    raise SystemExit(main())
