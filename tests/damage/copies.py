"""Damaged copies of what the product writes: each must end in a sentence, or in the same answer."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from encoders.base.errors import UserError

__all__ = ["KINDS", "damaged_copies"]


def _flip(data: bytearray, chosen: random.Random) -> None:
    data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)


def _byte(data: bytearray, chosen: random.Random) -> None:
    data[chosen.randrange(len(data))] = chosen.randrange(256)


def _zeros(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))


def _noise(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    data[start : start + 64] = chosen.randbytes(len(data[start : start + 64]))


def _cut(data: bytearray, chosen: random.Random) -> None:
    del data[chosen.randrange(len(data)) :]


def _lost(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    del data[start : start + chosen.choice((1, 8, 512))]


def _more(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    data[start:start] = chosen.randbytes(chosen.choice((1, 8, 512)))


def _moved(data: bytearray, chosen: random.Random) -> None:
    one, other = (chosen.randrange(len(data)) for _ in range(2))
    data[one : one + 8], data[other : other + 8] = data[other : other + 8], data[one : one + 8]


KINDS = {
    each.__name__.strip("_"): each
    for each in (_flip, _byte, _zeros, _noise, _cut, _lost, _more, _moved)
}


def damaged_copies(
    root: Path, answer: Callable[[], object], count: int, seed: int = 0, *, apart: bool = True
) -> Counter[str]:
    """Damage one file below `root` at a time, ask, and mend it again.

    What came of it: "same answer", "sentence", or what is wrong, with the file and the kind.
    apart: ask in a process of its own, which a crash may end; not for what has threads (torch).
    """
    expected = answer()
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)

    def copy(number: int) -> str:
        return _one(files, root, answer, expected, random.Random(f"{seed} {number}"))

    if not apart:
        return Counter(map(copy, range(count)))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as told:
            for number in range(count):
                told.write(f"{copy(number)}\n")
                told.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        found = Counter(lines.read().splitlines())
    _, status = os.waitpid(pid, 0)
    if status:
        found[f"CRASH {status} at copy {found.total()}"] += 1
    return found


def _one(
    files: list[Path],
    root: Path,
    answer: Callable[[], object],
    expected: object,
    chosen: random.Random,
) -> str:
    path, kind = chosen.choice(files), chosen.choice(list(KINDS))
    before = path.read_bytes()
    data = bytearray(before)
    KINDS[kind](data, chosen)
    path.write_bytes(data)
    name = f"{path.relative_to(root)} ({kind})"
    try:
        return "same answer" if answer() == expected else f"WRONG answer: {name}"
    except UserError as error:
        return "sentence" if str(error).strip() else f"EMPTY sentence: {name}"
    except Exception as error:  # noqa: BLE001 - what is no sentence is a finding
        return f"NO sentence: {type(error).__name__} {name} {error}".replace("\n", " ")[:200]
    finally:
        path.write_bytes(before)
