"""Changes to the index on disk: one writer at a time, and the next generation put in use last.

What is where is told in ranking/engine/store/snapshot.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from encoders.base.storage import sha256_bytes, sha256_file, sync_file, whole_file, whole_folder
from ranking.engine.segment.segment import Arrays
from ranking.engine.store.array_file import write_arrays
from ranking.engine.store.snapshot import CURRENT, GENERATION, PROFILES, Alive, Generation, current
from ranking.types import EngineError, VectorField

__all__ = ["Change", "add_encoder", "publish", "write_segment", "writing"]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the index's lock; what is left of a failed change is removed.

    Raises EngineError where another process is writing, or the disk cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise EngineError(f"{path} cannot be written ({error.strerror}).") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise EngineError(
            f"{path} is being written by another process: wait until it is done."
        ) from None
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"{path} could not be written ({error.strerror or error}); "
            "what was there before is unchanged."
        ) from error
    finally:
        _clean(path)
        os.close(descriptor)


def _clean(path: Path) -> None:
    """Remove what the generation in use does not name: older ones, and what a crash left."""
    try:
        generation = current(path)
    except EngineError:
        return
    needed = {
        "generations": {str(generation.number)},
        "segments": set(generation.segments),
        "encoders": {generation.encoder},
    }
    for kind, names in needed.items():
        for entry in (path / kind).glob("*"):
            if entry.name not in names:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def write_segment(path: Path, arrays: Arrays) -> str:
    """Write a segment and return its name; it is used once a published generation names it."""
    name = uuid.uuid4().hex[:16]
    (path / "segments").mkdir(exist_ok=True)
    write_arrays(path / "segments" / name, arrays)
    return name


def add_encoder(path: Path, encoder: Path, name: str) -> None:
    """Put an encoder's folder into the index: hard links where the file system has them."""
    target = path / "encoders" / name
    if not target.exists():
        with whole_folder(target) as folder:
            shutil.copytree(encoder, folder, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@dataclass(frozen=True)
class Change:
    """The next generation: segments by name with the documents left of each (None: all).

    described: sizes and checksums of files that were there before.
    """

    fields: Sequence[VectorField]
    segments: Sequence[tuple[str, Alive | None]]
    write_profiles: Callable[[Path], None]
    encoder: str = ""
    described: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def publish(path: Path, change: Change) -> None:
    """Write the next generation and put it in use."""
    number = 1 + max((int(f.name) for f in (path / "generations").glob("[0-9]*")), default=0)
    own = f"generations/{number}"
    (path / own).mkdir(parents=True)
    files = [f"segments/{name}" for name, _ in change.segments]
    for name, alive in change.segments:
        if alive is not None:
            write_arrays(path / own / f"{name}.alive", {"alive": alive})
            files.append(f"{own}/{name}.alive")
    change.write_profiles(path / own / PROFILES)
    generation = Generation(
        number,
        tuple(change.fields),
        tuple(name for name, _ in change.segments),
        tuple(name for name, alive in change.segments if alive is not None),
        change.encoder,
        {
            name: change.described.get(name) or _described(path / name)
            for name in [*files, f"{own}/{PROFILES}"]
        },
    )
    text = json.dumps(asdict(generation), indent=1).encode()
    (path / own / GENERATION).write_bytes(text)
    sync_file(path / own / GENERATION)
    with whole_file(path / CURRENT) as pointer:
        content = {"generation": number, "sha256": sha256_bytes(text)}
        pointer.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _described(file: Path) -> tuple[int, str]:
    return (file.stat().st_size, sha256_file(file))
