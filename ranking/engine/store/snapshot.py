"""Read the index on disk: generations, segments, checksums.

    INDEX/CURRENT            names the generation in use; replaced last, in one step
    INDEX/LOCK               held by the one process that writes
    INDEX/generations/N/     generation.json, profiles.toml, NAME.alive
    INDEX/segments/NAME      one segment, never changed once written
    INDEX/encoders/NAME/     the encoder that made the vectors

A crash or a full disk before `CURRENT` is replaced leaves the old generation in use. What it
does not need is removed by the next writer (ranking/engine/store/writer.py); readers that still map
those files keep them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields as fields_of
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.storage import put_back, sha256_bytes, sha256_file
from ranking.engine.segment.segment import Arrays, Segment
from ranking.engine.store.array_file import read_arrays
from ranking.profiles.set import ProfileSet
from ranking.profiles.toml import load_profiles
from ranking.types import Attribute, EngineError, VectorField

__all__ = [
    "CURRENT",
    "GENERATION",
    "NOWHERE",
    "PROFILES",
    "Alive",
    "Generation",
    "Opened",
    "current",
    "open_segment",
    "open_snapshot",
    "stamp",
    "verify",
]

CURRENT = "CURRENT"
GENERATION = "generation.json"
PROFILES = "profiles.toml"
FORMAT = 6
NOWHERE = (0, 0)
"""What `stamp` gives where there is no index."""

Alive = NDArray[np.bool_]


@dataclass(frozen=True)
class Generation:
    """One state of the index.

    index: an id made when it was built; it stays while documents come and go.
    segments: names, in order. alive: those of them that documents were removed from.
    files: path under the index -> [bytes, sha256].
    """

    number: int
    fields: tuple[VectorField, ...]
    attributes: tuple[Attribute, ...]
    segments: tuple[str, ...]
    alive: tuple[str, ...]
    encoder: str
    index: str
    files: Mapping[str, tuple[int, str]]
    format: int = FORMAT

    @property
    def folder(self) -> str:
        """Its own folder, under the index."""
        return f"generations/{self.number}"


_KEYS = {each.name for each in fields_of(Generation)}


@dataclass(frozen=True)
class Opened:
    """A generation with its segments mapped."""

    generation: Generation
    parts: tuple[tuple[Segment, Alive | None], ...]
    profiles: ProfileSet
    encoder: Path | None
    stamp: tuple[int, int]


def stamp(path: Path) -> tuple[int, int]:
    """A value that changes with each new generation; NOWHERE if there is no index."""
    try:
        found = os.stat(f"{path}/{CURRENT}")  # noqa: PTH116 - every query asks, and this is quick
    except OSError:
        return NOWHERE
    return (found.st_ino, found.st_mtime_ns)


def open_snapshot(path: Path, known: Mapping[str, Segment]) -> Opened:
    """Open the generation in use; segments among `known`, by name, are not mapped again.

    Sizes are checked, and the contents of all but segments: `verify` reads those. Raises
    EngineError if the folder is no index, is damaged, or may not be read.
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
    generation = current(path)
    for name, (size, digest) in generation.files.items():
        _check_size(path, name, size)
        if name.startswith(
            "generations/"
        ):  # small; a segment's blocks are checked as they are used
            _check_content(path, name, digest)
    parts = tuple(
        (
            known.get(name) or open_segment(path, name, generation.fields, generation.attributes),
            _arrays(path, f"{generation.folder}/{name}.alive")["alive"].astype(np.bool_, copy=False)
            if name in generation.alive
            else None,
        )
        for name in generation.segments
    )
    encoder = path / "encoders" / generation.encoder if generation.encoder else None
    profiles = load_profiles(path / generation.folder / PROFILES, generation.attributes)
    return Opened(generation, parts, profiles, encoder, seen)


def open_segment(
    path: Path, name: str, fields: Sequence[VectorField], attributes: Sequence[Attribute]
) -> Segment:
    """Map one segment."""
    return Segment(name, _arrays(path, f"segments/{name}"), fields, attributes)


def _arrays(path: Path, name: str) -> Arrays:
    with _read(path, name):
        return read_arrays(path / name, lambda reason: _damaged(path, f"{name}: {reason}"))


def current(path: Path) -> Generation:
    """What the generation in use says of itself.

    Raises EngineError if the folder is no index, or is damaged.
    """
    put_back(path)
    with _read(path, CURRENT):
        if path.exists() and not path.is_dir():
            raise EngineError(f"{path} is a file; an index is a folder.")
        try:
            pointer = json.loads((path / CURRENT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise EngineError(
                f"{path} is not a finished index (it has no file {CURRENT}): "
                "make one with `rocosearch index`."
            ) from None
        name, digest = f"generations/{int(pointer['generation'])}/{GENERATION}", pointer["sha256"]
    with _read(path, name):
        text = (path / name).read_bytes()
        if sha256_bytes(text) != digest:
            raise _damaged(path, f"{name} was changed")
        return _generation(path, json.loads(text))


def _damaged(path: Path, reason: str) -> EngineError:
    return EngineError(f"The index {path} is damaged ({reason}): build it again.")


def _generation(path: Path, content: dict[str, Any]) -> Generation:
    """What generation.json says. Its checksum was right: other keys are another version's."""
    if content.get("format") != FORMAT or content.keys() != _KEYS:
        raise EngineError(
            f"{path} was made by another version of rocosearch, which this one cannot read. Make "
            f"it again with the options of before: rocosearch index CORPUS {path}"
        )
    fields = tuple(VectorField(**each) for each in content.pop("fields"))
    attributes = tuple(Attribute(**each) for each in content.pop("attributes"))
    for name in ("segments", "alive"):
        content[name] = tuple(content[name])
    return Generation(fields=fields, attributes=attributes, **content)


def _check_size(path: Path, name: str, size: int) -> None:
    with _read(path, name):
        found = (path / name).stat().st_size
    if found != size:
        raise _damaged(path, f"{name} has {found} bytes, not {size}")


def verify(path: Path) -> Generation:
    """Read every file of the generation in use and compare its checksum.

    Raises EngineError naming the first file that differs.
    """
    generation = current(path)
    for name, (size, digest) in generation.files.items():
        _check_size(path, name, size)
        _check_content(path, name, digest)
    return generation


def _check_content(path: Path, name: str, digest: str) -> None:
    with _read(path, name):
        if sha256_file(path / name) != digest:
            raise _damaged(path, f"the checksum of {name} does not match")


@contextmanager
def _read(path: Path, name: str) -> Iterator[None]:
    """Tell what cannot be read in a sentence: who may not read it, or what is wrong with it."""
    try:
        with readable(path / name, EngineError):
            yield
    except FileNotFoundError:
        raise _damaged(path, f"{name} is missing") from None
    except OSError as error:
        raise EngineError(
            f"{path / name} cannot be read ({error.strerror}): check the path and the disk."
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"{name}: {plain_reason(error)}") from None
