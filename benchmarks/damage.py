"""Damage copies of what the product writes, and see what comes of it.

    python benchmarks/damage.py --copies 10000

One file at a time gets a bit or byte changed, zeros, noise, an end too soon, bytes too few or too
many, or two places exchanged; then the product is asked. Right is the same answer, or a sentence.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from tests.damage.copies import damaged_copies
from tests.damage.formats import FORMATS, THREADED


def main() -> int:
    """Run and print; the exit code is 0 where all was right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=10_000)
    parser.add_argument("--format", choices=FORMATS, action="append")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong = 0
    for name in options.format or FORMATS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / name
            root.mkdir()
            found = damaged_copies(
                root, FORMATS[name](root), options.copies, options.seed, apart=name not in THREADED
            )
        seconds = round(time.monotonic() - started)
        print(json.dumps({"format": name, **found, "seconds": seconds}), flush=True)
        wrong += found.total() - found["sentence"] - found["same answer"]
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
