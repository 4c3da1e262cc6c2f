"""The index on disk: a folder that is always whole, read through memory maps.

    INDEX/CURRENT                 names the generation in use; replaced last, in one step
    INDEX/LOCK                    held by the one process that writes
    INDEX/generations/N/          generation.json, profiles.toml, alive-SEGMENT.npy
    INDEX/segments/NAME/*.npy     the arrays of one segment; never changed once written
    INDEX/encoders/NAME/          the encoder that made the vectors

A crash or a full disk before `CURRENT` is replaced leaves the old generation in use. What no
generation needs is removed by the next writer; readers that still map those files keep them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.storage import sha256_bytes, sha256_file, sync_file, whole_file, whole_folder
from ranking.segment import Arrays, Segment
from ranking.types import EngineError, VectorField

__all__ = [
    "Generation",
    "Opened",
    "SegmentFiles",
    "add_encoder",
    "current",
    "open_arrays",
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


@dataclass(frozen=True)
class SegmentFiles:
    """A segment's files: name -> [bytes, sha256], and the file that marks documents alive."""

    name: str
    documents: int
    files: Mapping[str, tuple[int, str]]
    alive: str = ""


@dataclass(frozen=True)
class Generation:
    """One state of the index."""

    number: int
    fields: tuple[VectorField, ...]
    segments: tuple[SegmentFiles, ...]
    encoder: str = ""
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    format: int = FORMAT


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the index's lock.

    Raises EngineError where another process is writing.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EngineError(
            f"{path} is being written by another process: wait until it is done."
        ) from None
    except OSError as error:
        raise EngineError(
            f"{path} could not be written ({error.strerror}); what was there before is unchanged."
        ) from error
    finally:
        os.close(descriptor)


def current(path: Path) -> Generation:
    """Read which generation is in use, and what it consists of; every file's size is checked.

    Raises EngineError where the folder is not an index, or is damaged.
    """
    try:
        pointer = json.loads((path / CURRENT).read_text(encoding="utf-8"))
        folder = path / "generations" / str(int(pointer["generation"]))
        text = (folder / GENERATION).read_bytes()
        if sha256_bytes(text) != pointer["sha256"]:
            raise _damaged(path, f"{folder.name}/{GENERATION} was changed")
        return _generation(path, json.loads(text))
    except FileNotFoundError as error:
        if Path(error.filename) != path / CURRENT:
            raise _damaged(path, f"{error.filename} is missing") from None
        raise EngineError(
            f"{path} is not a finished index (it has no file {CURRENT}): "
            "make one with `rocosearch index`."
        ) from None
    except NotADirectoryError:
        raise EngineError(f"{path} is a file; an index is a folder.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, reason: str) -> EngineError:
    return EngineError(f"The index {path} is damaged ({reason}): build it again.")


def _generation(path: Path, content: dict[str, Any]) -> Generation:
    if content.get("format") != FORMAT:
        raise EngineError(
            f"{path} has format {content.get('format')!r}; this version reads {FORMAT}: "
            "build the index again."
        )
    content["fields"] = tuple(VectorField(**each) for each in content["fields"])
    content["segments"] = tuple(SegmentFiles(**each) for each in content["segments"])
    return Generation(**content)


def _check_size(path: Path, file: Path, size: int) -> None:
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        raise _damaged(path, f"{file.name} is missing") from None
    if found != size:
        raise _damaged(path, f"{file.name} has {found} bytes, not {size}")


def stamp(path: Path) -> tuple[int, int]:
    """What changes when another generation is put in use; (0, 0) where there is none."""
    try:
        found = (path / CURRENT).stat()
    except OSError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)


@dataclass(frozen=True)
class Opened:
    """A generation with its segments mapped."""

    generation: Generation
    parts: tuple[tuple[Segment, NDArray[np.bool_] | None], ...]
    profiles: Path
    encoder: Path | None
    stamp: tuple[int, int]


def open_snapshot(path: Path, known: Mapping[str, Segment]) -> Opened:
    """Open the generation in use; segments among `known`, by name, are not mapped again.

    Raises EngineError where the folder is not an index, or is damaged.
    """
    while True:
        seen = stamp(path)
        try:
            generation = current(path)
            parts = tuple(
                (_segment(path, generation, files, known), _alive(path, generation, files))
                for files in generation.segments
            )
        except EngineError:
            # A writer may have put the next generation in use and removed this one meanwhile.
            if stamp(path) == seen:
                raise
            continue
        return Opened(
            generation,
            parts,
            path / "generations" / str(generation.number) / PROFILES,
            path / "encoders" / generation.encoder if generation.encoder else None,
            seen,
        )


def _segment(
    path: Path, generation: Generation, files: SegmentFiles, known: Mapping[str, Segment]
) -> Segment:
    if files.name in known:
        return known[files.name]
    return Segment(files.name, open_arrays(path, files), generation.fields)


def open_arrays(path: Path, segment: SegmentFiles) -> Arrays:
    """Map a segment's arrays, read-only."""
    folder = path / "segments" / segment.name
    arrays = {}
    for name, (size, _) in segment.files.items():
        _check_size(path, folder / name, size)
        arrays[name.removesuffix(".npy")] = _load(path, folder / name)
    return arrays


def _alive(path: Path, generation: Generation, segment: SegmentFiles) -> NDArray[np.bool_] | None:
    """Return which of a segment's documents were not removed; None where all are there."""
    if not segment.alive:
        return None
    file = path / "generations" / str(generation.number) / segment.alive
    _check_size(path, file, generation.files[segment.alive][0])
    return _load(path, file).astype(np.bool_, copy=False)


def _load(path: Path, file: Path) -> NDArray[np.generic]:
    try:
        # asarray: a plain view of the map, whose slices cost a third of a memmap's.
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, f"{file.name}: {error}") from None


def write_segment(path: Path, arrays: Arrays, documents: int) -> SegmentFiles:
    """Write a segment's arrays; they are used once a generation that names them is published."""
    name = uuid.uuid4().hex[:16]
    folder = path / "segments" / name
    folder.mkdir(parents=True)
    try:
        for key, array in arrays.items():
            _save(folder / f"{key}.npy", array)
        sync_file(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return SegmentFiles(name, documents, _described(folder))


def _save(file: Path, array: NDArray[np.generic]) -> None:
    np.save(file, array, allow_pickle=False)
    sync_file(file)


def _described(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        file.name: (file.stat().st_size, sha256_file(file)) for file in sorted(folder.iterdir())
    }


def publish(
    path: Path,
    fields: Sequence[VectorField],
    segments: Sequence[tuple[SegmentFiles, NDArray[np.bool_] | None]],
    write_profiles: Callable[[Path], None],
    encoder: str,
) -> Generation:
    """Write the next generation, put it in use, and remove what is not needed any more.

    segments: (files, which documents are still there or None for all). write_profiles: writes
    the profiles file to the path it is given. encoder: name of its folder, or "".
    """
    number = 1 + max((int(f.name) for f in (path / "generations").glob("[0-9]*")), default=0)
    folder = path / "generations" / str(number)
    folder.mkdir(parents=True)
    try:
        kept = []
        for files, alive in segments:
            name = "" if alive is None else f"alive-{files.name}.npy"
            if alive is not None:
                _save(folder / name, alive)
            kept.append(replace(files, alive=name))
        write_profiles(folder / PROFILES)
        generation = Generation(number, tuple(fields), tuple(kept), encoder, _described(folder))
        text = json.dumps(asdict(generation), indent=1).encode()
        (folder / GENERATION).write_bytes(text)
        sync_file(folder / GENERATION)
        sync_file(folder)
        with whole_file(path / CURRENT) as pointer:
            content = {"generation": number, "sha256": sha256_bytes(text)}
            pointer.write_text(json.dumps(content) + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _clean(path, generation)
    return generation


def _clean(path: Path, generation: Generation) -> None:
    """Remove what `generation` does not name: older ones, and what a crash left behind."""
    needed = {
        "generations": {str(generation.number)},
        "segments": {segment.name for segment in generation.segments},
        "encoders": {generation.encoder},
    }
    for kind, names in needed.items():
        for folder in (path / kind).glob("*"):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)


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


def verify(path: Path) -> Generation:
    """Read every file of the generation in use and compare its checksum.

    Raises EngineError naming the first file that differs.
    """
    generation = current(path)
    folders = [(path / "generations" / str(generation.number), generation.files)]
    folders += [(path / "segments" / each.name, each.files) for each in generation.segments]
    for folder, files in folders:
        for name, (size, digest) in files.items():
            _check_size(path, folder / name, size)
            if sha256_file(folder / name) != digest:
                raise _damaged(path, f"{name} has another checksum than when it was written")
    return generation
