"""Captions in files of their own: a text or a JSON object beside an image, or a study's report."""

from __future__ import annotations

import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import Reason, Rejection
from ingest.sources.columns import CAPTIONS
from ingest.sources.file_index import FileIndex
from ingest.sources.files import Found, split_of, stem_of, suffix_of
from ingest.sources.table import Table, TableRow, keyed
from ingest.sources.text_table import encoding_of, undecodable

__all__ = ["REPORT", "Sidecars"]

TABLES = ("captions", "concepts")  # names of text files that are tables, whatever lies beside them
REPORT = re.compile(r"report|befund|finding|caption|reading|diagnos", re.IGNORECASE)
WORDS = re.compile(r"[^\W\d_]{2,}")  # boxes of detectors have none
MAX_BYTES = 1 << 20
LOOKED_AT = 4096  # bytes that tell a table from a report


@dataclass(frozen=True)
class Sidecars:
    """texts: the images that a text file is about. objects: the JSON file beside an image.

    alone: text files about no image, in a folder of others that are about some.
    """

    files: FileIndex = field(repr=False)
    texts: Mapping[str, Sequence[str]]
    objects: Mapping[str, str]
    alone: Sequence[str] = ()

    @classmethod
    def of(cls, files: FileIndex) -> Sidecars:
        """What lies beside the images of a data set.

        A text is about the image of its name, in its folder or else where that is unique; about
        the images in the folder of its name (`s7.txt`, `s7/`); or, where several folders have one
        or it is called a report, about all images of its own folder.
        """
        beside: defaultdict[str, list[str]] = defaultdict(list)
        within: defaultdict[str, list[str]] = defaultdict(list)
        for image in files.images:
            beside[stem_of(image)].append(image)
            within[_above(image)].append(image)
        texts: dict[str, Sequence[str]] = {}
        left: list[str] = []
        names = [key for key in files.keys if suffix_of(key) == ".txt"]
        for key in names:
            bare = stem_of(key)
            if PurePosixPath(key).stem not in TABLES:
                texts[key] = (
                    beside.get(bare) or _elsewhere(bare, files) or _folder(bare, key, files)
                )
            if not texts.get(key):
                left.append(key)
        left = [key for key in left if not _lists_images(key, files)]
        count = Counter(map(_above, left))
        about = {key: within[_above(key)] for key in left if count[_above(key)] == 1}
        about = {key: found for key, found in about.items() if found}
        named = any(REPORT.search(PurePosixPath(key).stem) for key in about)
        texts |= about if named or len(about) > 1 else {}
        texts = {key: found for key, found in texts.items() if found}
        paired = set(map(_above, texts))
        alone = [key for key in left if key not in texts and _above(key) in paired]
        objects = {
            image: key
            for key in files.keys
            if suffix_of(key) == ".json"
            for image in beside.get(stem_of(key), ())
        }
        return cls(files, texts, objects, alone)

    @property
    def names(self) -> set[str]:
        """The files that are no tables."""
        return {*self.texts, *self.objects.values(), *self.alone}

    def table(self) -> Table | None:
        """A row for each text, and for each JSON object without one; None if nothing is said."""
        said = {key: self._text(key) for key in self.texts}
        if sum(bool(WORDS.search(text)) for text in said.values()) <= len(said) / 2:
            said = {}
        told = {image for key in said for image in self.texts[key]}
        rows = [
            {**self._object(self.texts[key][0]), "file_name": [*self.texts[key]], "caption": text}
            for key, text in said.items()
        ]
        rows += [
            {**found, "file_name": [image]}
            for image in self.objects
            if image not in told and (found := self._object(image))
        ]
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        if not rows or not set(columns) & set(CAPTIONS):
            return None

        def read() -> Iterator[TableRow | Rejection]:
            yield from (TableRow(number, row) for number, row in enumerate(rows, 1))
            for key in self.alone:
                yield Rejection(Reason.MISSING_IMAGE, key, detail="no image has this file's name")

        name, kind = ("*.txt", "texts") if said else ("*.json", "JSON files")
        return Table(name, f"{kind} beside their images: {len(rows):,}", columns, columns, read)

    def _text(self, key: str) -> str:
        data = _data(key, self.files)
        encoding = encoding_of(Found(key, lambda: io.BytesIO(data)))
        return " ".join(data.decode(encoding, undecodable(encoding)).split())

    def _object(self, image: str) -> dict[str, Any]:
        """The JSON object beside an image; empty where there is none, or something else."""
        if image not in self.objects:
            return {}
        try:
            found = json.loads(_data(self.objects[image], self.files).decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return {}
        return keyed(found) if isinstance(found, dict) else {}


def _folder(bare: str, key: str, files: FileIndex) -> list[str]:
    """The images in the folder of a text's name, unless it holds a split or all, or is listed."""
    found = files.folder(bare)
    whole = len(found) == len(files.images) or split_of(PurePosixPath(bare).name)
    return [] if not found or whole or _lists_images(key, files) else found


def _lists_images(key: str, files: FileIndex) -> bool:
    """Whether the first lines of a text begin with names of images, as those of a table do."""
    head = _data(key, files)[:LOOKED_AT].decode("utf-8-sig", "replace")
    starts = [re.split(r"[,;|\t]", line)[0] for line in head.splitlines()[1:4] if line.strip()]
    return bool(starts) and all(map(files.has, starts))


def _data(key: str, files: FileIndex) -> bytes:
    """The first bytes of a file; none where it must not or cannot be read."""
    try:
        return files.read(key)[:MAX_BYTES]
    except ImageRejectedError:
        return b""


def _above(key: str) -> str:
    return PurePosixPath(key).parent.as_posix()


def _elsewhere(bare: str, files: FileIndex) -> list[str]:
    if not files.has(PurePosixPath(bare).name):
        return []
    try:
        return [files.find(bare)]
    except ImageRejectedError:
        return []
