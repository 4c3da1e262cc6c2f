"""Write the index on disk: lock, segments, next generation.

ranking/engine/store/snapshot.py describes the files.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from encoders.base.errors import UserError, plain_reason
from encoders.base.storage import (
    LOCK,
    SEEN,
    LeftoverWarning,
    link_or_copy,
    locked,
    make_folder,
    new_file,
    put_back,
    sha256_bytes,
    sha256_file,
    sync_file,
    whole_folder,
    write_whole,
)
from encoders.inference.reranker import RerankerManifest
from encoders.model.manifest import (
    CAPTION_ENCODER,
    TEXT_GRAPH,
    TOKENIZER,
    Manifest,
    check_file,
)
from ranking.engine.segment.segment import Arrays
from ranking.engine.store.array_file import write_arrays
from ranking.engine.store.snapshot import CURRENT, GENERATION, PROFILES, Alive, Generation, current
from ranking.types import Attribute, EngineError, VectorField

__all__ = [
    "UNFINISHED",
    "Change",
    "add_encoder",
    "check_source",
    "publish",
    "write_segment",
    "writing",
]

_OWN = {
    "generations": re.compile(r"[0-9]{1,9}"),
    "segments": re.compile(r"[0-9a-f]{16}"),
    "encoders": re.compile(r"[0-9a-f]{16}"),
}
UNFINISHED = frozenset({LOCK, *_OWN})
"""What stands in the folder of a new index whose writer was killed; the next one clears it."""


@contextmanager
def writing(path: Path, *, new: bool = False) -> Iterator[None]:
    """Hold the index's lock; what is left of a failed change is removed.

    new: the folder is made where there is none. Raises EngineError if another process is
    writing, or the disk cannot be written.
    """
    put_back(path)
    if not new and not path.is_dir():
        raise EngineError(f"{path} has been removed: open another index.")
    busy = EngineError(f"{path} is being written by another process: wait until it is done.")
    try:
        with locked(path, busy):
            _clean(path)
            try:
                yield
            finally:
                _clean(path)
    except OSError as error:
        left = "; the old index is unchanged" if (path / CURRENT).exists() else ""
        raise EngineError(f"{path} could not be written ({plain_reason(error)}){left}.") from error


def _clean(path: Path) -> None:
    """Remove what the generation in use does not name: older ones, and what a crash left.

    Only what bears names as given here. What cannot be removed now goes with a later change.
    """
    needed: dict[str, tuple[str, ...]] = {}
    if (path / CURRENT).exists():
        try:
            generation = current(path)
        except EngineError:  # damaged: what can still be saved is kept
            return
        needed = {
            "generations": (str(generation.number),),
            "segments": generation.segments,
            "encoders": (generation.encoder,),
        }
    for kind, own in _OWN.items():
        names = needed.get(kind, ())
        for entry in (path / kind).glob("*"):
            if entry.name in names or not own.fullmatch(entry.name):
                continue
            try:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            except OSError as error:
                told = f"{entry} is no longer needed and could not be removed ({error.strerror})."
                warnings.warn(told, LeftoverWarning, stacklevel=2)


def write_segment(path: Path, arrays: Arrays) -> str:
    """Write a segment and return its name; it is used once a published generation names it."""
    name = uuid.uuid4().hex[:16]
    make_folder(path / "segments")
    write_arrays(path / "segments" / name, arrays)
    return name


# Searching needs the ONNX towers; training on from the weights is done where the encoder came from.
_unsearched = shutil.ignore_patterns("*.safetensors", SEEN, "LOCK", ".*", CAPTION_ENCODER)


def check_source(encoder: Path, captions: Path | None) -> None:
    """Raise ManifestError where a file that searches read is missing or damaged.

    Vectors may have been made before it was, so nothing else need have read it.
    """
    for name, digest in Manifest.load(encoder).files.items():
        check_file(encoder / name, digest)
    for name, digest in Manifest.load(captions).files.items() if captions else ():
        if captions and name in {TOKENIZER, TEXT_GRAPH}:
            check_file(captions / name, digest)


def add_encoder(path: Path, encoder: Path, captions: Path | None = None) -> str:
    """Put what searches of an encoder's folder into the index: hard links where there are any.

    captions: of the encoder of captions, of which the text tower is kept. Returns the name that
    follows from them. A copy that is there is kept, as a search may read it; not one that is
    damaged.
    """
    made = [Manifest.load(encoder).fingerprint]
    if (reranker := RerankerManifest.load(encoder)) is not None:
        made.append(reranker.fingerprint)
    own = Manifest.load(captions) if captions else None
    if own:
        made.append(own.fingerprint)
    name = "".join(each[: 16 // len(made)] for each in made).ljust(16, "0")
    target = path / "encoders" / name
    beside = target / CAPTION_ENCODER
    if not (_is_whole(target) and (own is None or _is_whole(beside, own))):
        with whole_folder(target) as folder:
            shutil.copytree(
                encoder, folder, copy_function=link_or_copy, dirs_exist_ok=True, ignore=_unsearched
            )
            if captions:
                _add_text_tower(captions, folder / CAPTION_ENCODER)
    return name


def _add_text_tower(encoder: Path, folder: Path) -> None:
    """What texts are embedded by, and a manifest that names no more."""
    manifest = Manifest.load(encoder)
    graphs = {name: digest for name, digest in manifest.graphs.items() if name == TEXT_GRAPH}
    folder.mkdir()
    for file in (TOKENIZER, *graphs):
        link_or_copy(str(encoder / file), str(folder / file))
    replace(manifest, graphs=graphs).save(folder)


def _is_whole(encoder: Path, expected: Manifest | None = None) -> bool:
    """Whether an encoder in an index can be searched with, and is the expected one."""
    try:
        manifest = Manifest.load(encoder)
        for name, digest in manifest.files.items():
            check_file(encoder / name, digest)
    except UserError:
        return False
    return expected is None or manifest.fingerprint == expected.fingerprint


@dataclass(frozen=True)
class Change:
    """The next generation: segments by name with the documents left of each (None: all).

    index: the id of an index that was there before. described: sizes and checksums of files that
    were.
    """

    fields: Sequence[VectorField]
    attributes: Sequence[Attribute]
    segments: Sequence[tuple[str, Alive | None]]
    write_profiles: Callable[[Path], None]
    encoder: str = ""
    index: str = field(default_factory=lambda: uuid.uuid4().hex)
    described: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def publish(path: Path, change: Change) -> None:
    """Write the next generation and put it in use."""
    there = (each.name for each in (path / "generations").glob("*"))
    numbers = (int(name) for name in there if _OWN["generations"].fullmatch(name))
    number = 1 + max(numbers, default=0)
    own = f"generations/{number}"
    make_folder(path / own)
    files = [f"segments/{name}" for name, _ in change.segments]
    for name, alive in change.segments:
        if alive is not None:
            write_arrays(path / own / f"{name}.alive", {"alive": alive})
            files.append(f"{own}/{name}.alive")
    change.write_profiles(path / own / PROFILES)
    generation = Generation(
        number,
        tuple(change.fields),
        tuple(change.attributes),
        tuple(name for name, _ in change.segments),
        tuple(name for name, alive in change.segments if alive is not None),
        change.encoder,
        change.index,
        {
            name: change.described.get(name) or _described(path / name)
            for name in [*files, f"{own}/{PROFILES}"]
        },
    )
    text = json.dumps(asdict(generation), indent=1).encode()
    with new_file(path / own / GENERATION) as stream:
        stream.write(text)
    for folder in ("segments", own):  # their files have to be there before CURRENT names them
        sync_file(path / folder)
    content = {"generation": number, "sha256": sha256_bytes(text)}
    write_whole(path / CURRENT, json.dumps(content) + "\n")


def _described(file: Path) -> tuple[int, str]:
    return (file.stat().st_size, sha256_file(file))
