"""Cut the power of a workload everywhere, and have what is left opened by the product."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.power.disk import Disk, Image, images
from tests.power.trace import Operation, record
from tests.power.workloads import PREPARED

__all__ = ["Trace", "cuts", "look_at", "sample", "trace"]


@dataclass(frozen=True)
class Trace:
    """A workload that was run: what its disk was before, and what was done to it."""

    disk: Disk
    operations: list[Operation]


def trace(name: str, folder: Path, *seed: int) -> Trace:
    """Run a workload below `folder`, after what it needs was made there."""
    root = folder / name
    root.mkdir()
    if name in PREPARED:
        PREPARED[name](root)
    disk = Disk(root)
    command = ["-m", "tests.power.workloads", name, str(root), *map(str, seed)]
    return Trace(disk, record(command, root, folder / f"{name}.log"))


def cuts(traced: Trace, chosen: random.Random, drawn: int) -> Iterator[tuple[int, Image]]:
    """Each different image that a cut may leave, with how many steps were acknowledged.

    drawn: how many are drawn after each operation beside the plain ones. Used up after one time.
    """
    disk, acknowledged = traced.disk, 0
    seen = set()
    for operation in traced.operations:
        disk.apply(operation)
        if operation.kind == "acknowledge":
            acknowledged = int(operation.path)
        for image in images(disk, chosen, drawn):
            key = hash((acknowledged, frozenset(image.items())))
            if key not in seen:
                seen.add(key)
                yield acknowledged, image
    assert disk.differences() == []  # nothing was written past the recorder


def sample(traced: Trace, count: int, drawn: int = 2) -> list[tuple[int, Image]]:
    """About `count` of the images, from the first to the last operation."""
    found = list(cuts(traced, random.Random(0), drawn))
    return found[:: max(1, len(found) // count)]


def look_at(image: Image, place: Path, check: Callable[[Path], str]) -> str:
    """Lay the image out and say what is wrong with it; "" where nothing is."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path, content in image.items():
        if content is None:
            (place / path).mkdir(parents=True, exist_ok=True)
        else:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
    return check(place)
