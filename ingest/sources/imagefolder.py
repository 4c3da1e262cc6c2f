"""Hugging Face ImageFolder: images beside a `metadata.jsonl` or `metadata.csv`.

    {train,validation,test}/metadata.jsonl   {"file_name": "images/a.jpg", "caption": "..."}
    {train,validation,test}/images/a.jpg

or one metadata file at the top. `case_id`, `patient_id`, `article_id` ... become the group.
https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection, Row
from ingest.sources.fields import ID, record_from
from ingest.sources.files import SPLITS, read_image, read_table, split_of, unused_images

__all__ = ["ImageFolder", "looks_like_imagefolder"]

NAMES = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"


def looks_like_imagefolder(path: Path) -> bool:
    """Whether a metadata file lies in `path` or in a folder of it."""
    return bool(_metadata_files(path))


def _metadata_files(path: Path) -> list[Path]:
    found = [file for name in NAMES for above in ("", "*/") for file in path.glob(above + name)]
    order = ("train", "validation", "test", "")
    return sorted(found, key=lambda file: (order.index(split_of(file.parent.name)), file))


@dataclass(frozen=True)
class ImageFolder:
    """All metadata files in `path` and its folders."""

    path: Path
    format: str = "imagefolder"

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, split after split."""
        files = _metadata_files(self.path)
        if not files:
            raise CorpusError(f"{self.path} is no ImageFolder: it holds no metadata.jsonl or .csv.")
        taken: dict[str, str] = {}
        asked: set[Path] = set()
        for metadata in files:
            for row in _metadata_rows(metadata):
                if isinstance(row, Rejection):
                    yield row
                    continue
                line, values = row
                asked.add(Path(os.path.normpath(metadata.parent / values[FILE_NAME])))
                yield _row(metadata, line, values, taken)
        folders = {file.parent for file in files}
        for folder in sorted(folders):
            if folders.isdisjoint(folder.parents):
                yield from unused_images(folder, asked, folder.resolve().name)


def _name(metadata: Path) -> str:
    return f"{metadata.resolve().parent.name}/{metadata.name}"


_Line = tuple[int, Mapping[str, Any]]


def _metadata_rows(path: Path) -> Iterator[_Line | Rejection]:
    if path.suffix == ".jsonl":
        yield from _json_lines(path)
        return
    for row in read_table(path, {FILE_NAME: (FILE_NAME,)}, _name(path)):
        yield row if isinstance(row, Rejection) else (row.line, row.values)


def _json_lines(path: Path) -> Iterator[_Line | Rejection]:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            if not raw.strip():
                continue
            try:
                content = json.loads(raw.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                yield Rejection(Reason.MALFORMED_ROW, _name(path), number, detail=str(error))
                continue
            if isinstance(content, dict) and isinstance(content.get(FILE_NAME), str):
                yield number, content
            else:
                detail = f"no {FILE_NAME}"
                yield Rejection(Reason.MALFORMED_ROW, _name(path), number, detail=detail)


def _row(metadata: Path, line: int, values: Mapping[str, Any], taken: dict[str, str]) -> Row:
    folder = metadata.parent
    split = split_of(folder.resolve().name)
    name = str(values[FILE_NAME])
    identifier = _identifier(name, split, taken)
    file = _name(metadata)
    own_id = next((str(values[key]) for key in ID if values.get(key)), identifier)
    if not name.strip():
        return Rejection(Reason.MALFORMED_ROW, file, line, own_id, f"no {FILE_NAME}")
    try:
        image = read_image(folder, name)
    except ImageRejectedError as error:
        return Rejection(error.reason, file, line, own_id, error.detail)
    return record_from(
        {key: value for key, value in values.items() if key != FILE_NAME},
        identifier=identifier,
        image=image,
        image_path=name,
        split=split,
        source=folder.resolve().parent.name if split in SPLITS.values() else folder.resolve().name,
        file=file,
        line=line,
    )


def _identifier(name: str, split: str, taken: dict[str, str]) -> str:
    """The file's name without suffix; with its split where another split has the same name."""
    path = PurePosixPath(name)
    stem = str(path.parent / path.stem).removeprefix("images/")
    owner = taken.setdefault(stem, split)
    return stem if owner == split else f"{split}/{stem}"
