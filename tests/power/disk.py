"""A disk whose power may be cut: what is on it for certain, and what POSIX lets it look like.

A file's data is certain as of its last sync, a folder's entries as of the folder's. Whatever came
after may be there or not: data whole, in part, or as zeros of the right length; entries of each
folder on their own, in the order in which they were made. A rename within one folder is one
change, one between two folders is two.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.trace import Operation

__all__ = ["Disk", "Image", "images"]

Image = dict[str, bytes | None]  # by path below the root; None: a folder
SECTOR = 512  # bytes that a disk writes as one


@dataclass(eq=False)
class File:
    data: bytearray = field(default_factory=bytearray)
    certain: bytes = b""

    @property
    def dirty(self) -> bool:
        return self.certain != self.data

    def sync(self) -> None:
        self.certain = bytes(self.data)

    def variants(self) -> list[bytes]:
        """As of the last sync, torn, zeros where it was written since, and as it is."""
        now, before = bytes(self.data), self.certain
        if not self.dirty:
            return [now]
        padded = before.ljust(len(now), b"\0")[: len(now)]
        changed = next((i for i, (a, b) in enumerate(zip(now, padded, strict=True)) if a != b), 0)
        middle = (changed + len(now)) // 2
        torn = now[:middle] + padded[middle:]
        zeros = now[:changed] + bytes(len(now) - changed)
        return [before, torn, zeros, now]

    def drawn(self, chosen: random.Random) -> bytes:
        """One of the variants, or for each sector one of them."""
        variants = self.variants()
        if len(variants) == 1 or chosen.random() < 0.5:
            return chosen.choice(variants)
        padded = [each.ljust(len(self.data), b"\0") for each in variants]
        places = range(0, len(self.data), SECTOR)
        return b"".join(chosen.choice(padded)[place : place + SECTOR] for place in places)


@dataclass(eq=False)
class Folder:
    entries: dict[str, File | Folder] = field(default_factory=dict)
    certain: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    @property
    def dirty(self) -> bool:
        return bool(self.pending)

    def change(self, change: dict[str, File | Folder | None]) -> None:
        self.pending.append(change)
        _apply(self.entries, change)

    def sync(self) -> None:
        self.certain, self.pending = dict(self.entries), []

    def after(self, count: int) -> dict[str, File | Folder]:
        """The entries with the first `count` changes since the last sync."""
        entries = dict(self.certain)
        for change in self.pending[:count]:
            _apply(entries, change)
        return entries


def _apply(entries: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class Disk:
    """Replays operations below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.top = Folder()
        self.load(root, self.top)

    def load(self, path: Path, folder: Folder) -> None:
        """What stands there before is certain."""
        for entry in path.iterdir():
            node: File | Folder = (
                Folder() if entry.is_dir() else File(bytearray(entry.read_bytes()))
            )
            folder.entries[entry.name] = node
            if isinstance(node, Folder):
                self.load(entry, node)
            else:
                node.sync()
        folder.sync()

    def _find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.top
        for part in os.path.relpath(path, self.root).split("/"):
            if part != ".":
                assert isinstance(node, Folder), path
                node = node.entries.get(part)
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        parent = self._find(str(Path(path).parent))
        assert isinstance(parent, Folder), path
        return parent, Path(path).name

    def apply(self, operation: Operation) -> None:
        getattr(self, f"_{operation.kind}")(operation)

    def _acknowledge(self, operation: Operation) -> None:
        pass

    def _create(self, operation: Operation) -> None:
        parent, name = self._place(operation.path)
        if name not in parent.entries:
            parent.change({name: File()})

    def _file(self, operation: Operation) -> File:
        node = self._find(operation.path)
        assert isinstance(node, File), operation
        return node

    def _truncate(self, operation: Operation) -> None:
        file, size = self._file(operation), operation.offset
        file.data[:] = file.data[:size].ljust(size, b"\0")

    def _write(self, operation: Operation) -> None:
        file = self._file(operation)
        offset = len(file.data) if operation.offset < 0 else operation.offset
        file.data.extend(bytes(max(0, offset - len(file.data))))
        file.data[offset : offset + len(operation.data)] = operation.data

    def _sync(self, operation: Operation) -> None:
        node = self._find(operation.path)
        assert node is not None, operation
        node.sync()

    def _mkdir(self, operation: Operation) -> None:
        if operation.path != self.root:
            parent, name = self._place(operation.path)
            parent.change({name: Folder()})

    def _unlink(self, operation: Operation) -> None:
        parent, name = self._place(operation.path)
        parent.change({name: None})

    _rmdir = _unlink

    def _link(self, operation: Operation) -> None:
        parent, name = self._place(operation.other)
        parent.change({name: self._file(operation)})

    def _rename(self, operation: Operation) -> None:
        (old, old_name), (new, new_name) = map(self._place, (operation.path, operation.other))
        node = old.entries[old_name]
        if old is new:
            old.change({old_name: None, new_name: node})
        else:
            old.change({old_name: None})
            new.change({new_name: node})

    def nodes(self) -> list[File | Folder]:
        """All files and folders that a name leads to, or may still lead to."""
        found: dict[int, File | Folder] = {}
        waiting: list[File | Folder] = [self.top]
        while waiting:
            node = waiting.pop()
            if id(node) in found:
                continue
            found[id(node)] = node
            if isinstance(node, Folder):
                waiting += [*node.entries.values(), *node.certain.values()]
        return list(found.values())

    def image(self, data: dict[int, bytes], entries: dict[int, int]) -> Image:
        """What stands there where the files have these data, the folders so many changes.

        By default all of them; the folder that holds all is taken to be there.
        """
        image: Image = {}

        def walk(node: File | Folder, path: str) -> None:
            if isinstance(node, File):
                now = bytes(node.data) if node.dirty else node.certain  # one copy for all images
                image[path] = data.get(id(node), now)
                return
            if path:
                image[path] = None
            for name, inner in node.after(entries.get(id(node), len(node.pending))).items():
                walk(inner, f"{path}/{name}" if path else name)

        walk(self.top, "")
        return image

    def differences(self) -> list[str]:
        """Where the replayed folder is not the real one: what no recorded call has written."""
        real = {
            str(path.relative_to(self.root)): None if path.is_dir() else path.read_bytes()
            for path in Path(self.root).rglob("*")
        }
        replayed = self.image({}, {})
        return [
            path
            for path in sorted({*real, *replayed})
            if not path.endswith("-shm") and real.get(path, 0) != replayed.get(path, 0)
        ]


def images(disk: Disk, chosen: random.Random, drawn: int) -> Iterator[Image]:
    """Images that a power cut may leave now: the plain ones, and `drawn` at random."""
    nodes = disk.nodes()
    files = [node for node in nodes if isinstance(node, File) and node.dirty]
    folders = [node for node in nodes if isinstance(node, Folder) and node.dirty]
    lost = {id(file): file.certain for file in files}
    none = {id(folder): 0 for folder in folders}
    yield disk.image({}, {})
    yield disk.image(lost, none)
    for variant in range(3) if files else ():
        yield disk.image(
            {id(f): f.variants()[min(variant, len(f.variants()) - 1)] for f in files}, {}
        )
    if folders:
        yield disk.image({}, none)
    if len(files) + len(folders) > 1:
        for folder in folders:
            yield disk.image({}, {id(folder): 0})
            yield disk.image({}, {key: 0 for key in none if key != id(folder)})
        for file in files:
            yield disk.image({id(file): file.certain}, {})
    for _ in range(drawn):
        yield disk.image(
            {id(file): file.drawn(chosen) for file in files},
            {id(folder): chosen.randint(0, len(folder.pending)) for folder in folders},
        )
