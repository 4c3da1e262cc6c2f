"""ROCO as its authors distribute it: tab-separated text files, images where downloaded.

    data/{train,validation,test}/radiology/
        captions.txt cuis.txt keywords.txt semtypes.txt dlinks.txt   id, tab, values
        licences.txt                                                 comma-separated, with header
        images/ROCO_00001.jpg                                        optional, as is each image

O. Pelka et al., "Radiology Objects in COntext (ROCO): A Multimodal Image Dataset", 2018;
https://github.com/razorx89/roco-dataset
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Record, Rejection, Row
from ingest.sources.files import read_image, read_tabbed, read_table, split_of, unused_images
from ingest.sources.modalities import modality_of

__all__ = ["Roco", "looks_like_roco"]

CAPTIONS = "captions.txt"
PATTERNS = tuple(
    f"{above}{CAPTIONS}" for above in ("", "radiology/", "*/radiology/", "*/*/radiology/")
)
ARTICLE = re.compile(r"PMC\d+")
LICENCE_COLUMNS = {"id": ("roco_id",), "figure": ("pmc_id",), "licence": ("cc", "licence")}


def looks_like_roco(path: Path) -> bool:
    """Whether `path`, or a folder a few levels below it, holds ROCO's caption file."""
    return bool(_folders(path))


def _folders(path: Path) -> list[Path]:
    return sorted({file.parent for pattern in PATTERNS for file in path.glob(pattern)})


@dataclass(frozen=True)
class Roco:
    """All `radiology/` folders at or below `path` (`non-radiology/` is left alone)."""

    path: Path
    format: str = "roco"

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, split after split."""
        folders = _folders(self.path)
        if not folders:
            raise CorpusError(f"{self.path} is not ROCO: no radiology/{CAPTIONS} at or below it.")
        for folder in folders:
            yield from _rows(folder)


# What each file beside captions.txt holds: line number and values by id.
_Details = dict[str, tuple[int, list[str]]]


def _rows(folder: Path) -> Iterator[Row]:
    details: dict[str, _Details] = {}
    for name in ("cuis", "keywords", "semtypes", "dlinks"):
        details[name] = yield from _details(folder / f"{name}.txt")
    details["licences"] = yield from _licences(folder / "licences.txt")
    has_images = (folder / "images").is_dir()
    asked: set[Path] = set()
    for row in read_tabbed(folder / CAPTIONS, 2, _name(folder / CAPTIONS)):
        if isinstance(row, Rejection):
            yield row
            continue
        line, (identifier, *rest) = row
        identifier = identifier.strip()
        about = {name: found.pop(identifier, (0, []))[1] for name, found in details.items()}
        record = _record(folder, line, identifier, "\t".join(rest), about)
        asked.add(Path(os.path.normpath(folder / "images" / _image_name(identifier))))
        yield from _with_image(folder, record) if has_images else [record]
    for name, left in details.items():
        for identifier, (line, _) in left.items():
            yield Rejection(Reason.UNKNOWN_ID, _name(folder / f"{name}.txt"), line, identifier)
    yield from unused_images(folder / "images", asked, _name(folder / "images"))


def _name(file: Path) -> str:
    """What rejections call a file of a `radiology/` folder: its split comes first."""
    return f"{file.resolve().parent.parent.name}/{file.name}"


def _image_name(identifier: str) -> str:
    return f"{identifier}.jpg"


def _record(
    folder: Path, line: int, identifier: str, caption: str, about: dict[str, list[str]]
) -> Record:
    figure, licence = (about["licences"] + ["", ""])[:2]
    command, file_name = (about["dlinks"] + ["", ""])[:2]
    article = ARTICLE.search(command) or ARTICLE.search(figure)
    pairs = about["semtypes"]
    extra: dict[str, Any] = {
        "keywords": about["keywords"],
        "semtypes": [list(pair) for pair in zip(pairs[::2], pairs[1::2], strict=False)],
        "figure": figure or file_name,
        "download": command,
    }
    return Record(
        id=identifier,
        caption=caption,
        concepts=tuple(about["cuis"]),
        group_id=article.group() if article else "",
        group_kind="article" if article else "none",
        modality=modality_of(about["cuis"]),
        split=split_of(folder.resolve().parent.name),
        licence=licence,
        source="ROCO",
        extra={name: value for name, value in extra.items() if value},
        file=_name(folder / CAPTIONS),
        line=line,
    )


def _with_image(folder: Path, record: Record) -> Iterator[Row]:
    """The record with its image; without, where the file is missing: figures vanish online."""
    name = _image_name(record.id)
    try:
        image = read_image(folder / "images", name)
    except ImageRejectedError as error:
        kept = error.reason == Reason.MISSING_IMAGE
        yield Rejection(error.reason, record.file, record.line, record.id, error.detail, kept)
        if kept:
            yield record
        return
    yield replace(record, image=image, image_path=f"images/{name}")


def _details(path: Path) -> Generator[Rejection, None, _Details]:
    found: _Details = {}
    if not path.is_file():
        return found
    for row in read_tabbed(path, 1, _name(path)):
        if isinstance(row, Rejection):
            yield row
            continue
        line, (identifier, *values) = row
        if identifier.strip() in found:
            yield Rejection(Reason.DUPLICATE_ID, _name(path), line, identifier.strip())
            continue
        found[identifier.strip()] = line, [value.strip() for value in values if value.strip()]
    return found


def _licences(path: Path) -> Generator[Rejection, None, _Details]:
    found: _Details = {}
    if not path.is_file():
        return found
    for row in read_table(path, LICENCE_COLUMNS, _name(path)):
        if isinstance(row, Rejection):
            yield row
            continue
        values = row.values
        if values["id"].strip() in found:
            yield Rejection(Reason.DUPLICATE_ID, _name(path), row.line, values["id"].strip())
            continue
        found[values["id"].strip()] = row.line, [values["figure"], values["licence"]]
    return found
