"""The index on disk: a folder that is always whole, read through memory maps.

    INDEX/CURRENT            names the generation in use; replaced last, in one step
    INDEX/LOCK               held by the one process that writes
    INDEX/generations/N/     generation.json, profiles.toml, NAME.alive
    INDEX/segments/NAME      one segment, never changed once written
    INDEX/encoders/NAME/     the encoder that made the vectors

A crash or a full disk before `CURRENT` is replaced leaves the old generation in use. What it
does not need is removed by the next writer; readers that still map those files keep them.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import UserError
from encoders.storage import sha256_bytes, sha256_file, sync_file, whole_file, whole_folder
from ranking.array_file import read_arrays, write_arrays
from ranking.profile_file import load_profiles
from ranking.profile_set import ProfileSet
from ranking.segment import Arrays, Segment
from ranking.types import EngineError, VectorField

__all__ = [
    "NOWHERE",
    "Change",
    "Generation",
    "Opened",
    "add_encoder",
    "open_segment",
    "open_snapshot",
    "publish",
    "stamp",
    "verify",
    "write_segment",
    "writing",
]

CURRENT = "CURRENT"
GENERATION = "generation.json"
PROFILES = "profiles.toml"
FORMAT = 1
NOWHERE = (0, 0)
"""What `stamp` gives where there is no index."""

Alive = NDArray[np.bool_]


@dataclass(frozen=True)
class Generation:
    """One state of the index.

    segments: names, in order. alive: those of them that documents were removed from.
    files: path under the index -> [bytes, sha256].
    """

    number: int
    fields: tuple[VectorField, ...]
    segments: tuple[str, ...]
    alive: tuple[str, ...]
    encoder: str
    files: Mapping[str, tuple[int, str]]
    format: int = FORMAT

    @property
    def folder(self) -> str:
        """Its own folder, under the index."""
        return f"generations/{self.number}"


@dataclass(frozen=True)
class Opened:
    """A generation with its segments mapped."""

    generation: Generation
    parts: tuple[tuple[Segment, Alive | None], ...]
    profiles: ProfileSet
    encoder: Path | None
    stamp: tuple[int, int]


def stamp(path: Path) -> tuple[int, int]:
    """What changes when another generation is put in use; NOWHERE where there is none."""
    try:
        found = os.stat(f"{path}/{CURRENT}")  # noqa: PTH116 - every query asks, and this is quick
    except OSError:
        return NOWHERE
    return (found.st_ino, found.st_mtime_ns)


def open_snapshot(path: Path, known: Mapping[str, Segment]) -> Opened:
    """Open the generation in use; segments among `known`, by name, are not mapped again.

    Sizes are checked, contents are not: `verify` does that. Raises EngineError where the
    folder is no index, or is damaged.
    """
    while True:
        seen = stamp(path)
        try:
            return _open(path, known, seen)
        except UserError:
            # A writer may have put the next generation in use and removed this one meanwhile.
            if stamp(path) == seen:
                raise


def _open(path: Path, known: Mapping[str, Segment], seen: tuple[int, int]) -> Opened:
    generation = _current(path)
    for name, (size, _) in generation.files.items():
        _check_size(path, name, size)
    parts = tuple(
        (
            known[name] if name in known else open_segment(path, name, generation.fields),
            _arrays(path, f"{generation.folder}/{name}.alive")["alive"].astype(np.bool_, copy=False)
            if name in generation.alive
            else None,
        )
        for name in generation.segments
    )
    encoder = path / "encoders" / generation.encoder if generation.encoder else None
    profiles = load_profiles(path / generation.folder / PROFILES)
    return Opened(generation, parts, profiles, encoder, seen)


def open_segment(path: Path, name: str, fields: Sequence[VectorField]) -> Segment:
    """Map one segment."""
    return Segment(name, _arrays(path, f"segments/{name}"), fields)


def _arrays(path: Path, name: str) -> Arrays:
    try:
        return read_arrays(path / name)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise _damaged(path, f"{name}: {error}") from None


def _current(path: Path) -> Generation:
    try:
        pointer = json.loads((path / CURRENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(
            f"{path} is not a finished index (it has no file {CURRENT}): "
            "make one with `rocosearch index`."
        ) from None
    except NotADirectoryError:
        raise EngineError(f"{path} is a file; an index is a folder.") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{CURRENT}: {error}") from None
    try:
        text = (path / "generations" / str(int(pointer["generation"])) / GENERATION).read_bytes()
        if sha256_bytes(text) != pointer["sha256"]:
            raise _damaged(path, f"{GENERATION} was changed")
        return _generation(path, json.loads(text))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{GENERATION}: {error}") from None


def _damaged(path: Path, reason: str) -> EngineError:
    return EngineError(f"The index {path} is damaged ({reason}): build it again.")


def _generation(path: Path, content: dict[str, Any]) -> Generation:
    if content.get("format") != FORMAT:
        raise EngineError(
            f"{path} has format {content.get('format')!r}; this version reads {FORMAT}: "
            "build the index again."
        )
    fields = tuple(VectorField(**each) for each in content.pop("fields"))
    for name in ("segments", "alive"):
        content[name] = tuple(content[name])
    return Generation(fields=fields, **content)


def _check_size(path: Path, name: str, size: int) -> None:
    try:
        found = (path / name).stat().st_size
    except FileNotFoundError:
        raise _damaged(path, f"{name} is missing") from None
    if found != size:
        raise _damaged(path, f"{name} has {found} bytes, not {size}")


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
        generation = _current(path)
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


def verify(path: Path) -> Generation:
    """Read every file of the generation in use and compare its checksum.

    Raises EngineError naming the first file that differs.
    """
    generation = _current(path)
    for name, (size, digest) in generation.files.items():
        _check_size(path, name, size)
        if sha256_file(path / name) != digest:
            raise _damaged(path, f"{name} has another checksum than when it was written")
    return generation
