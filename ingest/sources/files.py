"""Reading what somebody else wrote: tables, lines and image files, trusting none of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ingest.images import MAX_IMAGE_BYTES, ImageRejectedError
from ingest.records import CorpusError, Reason, Rejection

__all__ = [
    "SPLITS",
    "TableRow",
    "normal_name",
    "read_image",
    "read_tabbed",
    "read_table",
    "safe_file",
    "split_of",
]

MAX_FIELD_CHARACTERS = 16 << 20
LINES_LOOKED_AT = 20
QUOTED = re.compile(r'"(?:[^"]|"")*"')

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class TableRow:
    """One row of a text file: `values` by normalised column name, or by position as "0", "1"."""

    line: int
    values: Mapping[str, str]


def split_of(name: str) -> str:
    """The split that a file's or folder's name tells of, or ""."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def normal_name(column: str) -> str:
    """A column's name in lower case with `_` between words: "Canonical name": canonical_name."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def read_tabbed(path: Path, columns: int) -> Iterator[tuple[int, list[str]] | Rejection]:
    """Line number and tab-separated fields of each line of a file without header or quotes.

    Only line feeds end a line: captions hold other control characters. Bytes that are not
    UTF-8 stay as lone surrogates, for the corpus to reject. A line of fewer fields than
    `columns` is a Rejection. Raises CorpusError where the file is not tab-separated at all.
    """
    _check_tabs(path)
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            fields = text.rstrip("\r\n").split("\t")
            if not text.strip():
                continue
            if len(fields) < columns:
                detail = f"{len(fields)} fields between tabs, {columns} expected"
                yield Rejection(Reason.MALFORMED_ROW, path.name, number, _safe(fields[0]), detail)
                continue
            yield number, fields


def _check_tabs(path: Path) -> None:
    with path.open("rb") as stream:
        first = [line for _, line in zip(range(LINES_LOOKED_AT), stream, strict=False)]
    if first and not any(b"\t" in line for line in first):
        raise CorpusError(
            f"{path} should be separated by tabs, but its first lines hold none: "
            "write it again with a tab between id and text."
        )


def read_table(path: Path, needed: Mapping[str, tuple[str, ...]]) -> Iterator[TableRow | Rejection]:
    """Rows of a table with a header, separated by tabs or commas, whichever the header shows.

    needed: for each column that must be there, the names it may have. The rows carry it under
    its key; every other column under its own normalised name.
    Raises CorpusError where the header shows neither.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        delimiter, names = _header(path, stream.readline(), needed)
        read = _tab_separated if delimiter == "\t" else _comma_separated
        for line, fields in read(stream):
            if isinstance(fields, str):
                yield Rejection(Reason.MALFORMED_ROW, path.name, line, detail=fields)
            elif len(fields) != len(names):
                detail = f"{len(fields)} fields, {len(names)} expected"
                yield Rejection(Reason.MALFORMED_ROW, path.name, line, _safe(fields[0]), detail)
            else:
                yield TableRow(line, dict(zip(names, fields, strict=True)))


def _tab_separated(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    # Quotes are part of a caption here, unless they enclose the whole field.
    for line, text in enumerate(stream, 2):
        if text.strip():
            yield line, [_unquoted(field) for field in text.rstrip("\r\n").split("\t")]


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if QUOTED.fullmatch(field) else field


def _comma_separated(stream: TextIO) -> Iterator[tuple[int, list[str] | str]]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    reader = csv.reader(stream)
    while True:
        start = reader.line_num + 2
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, str(error)
            continue
        if any(fields):
            yield start, fields


def _header(
    path: Path, header: str, needed: Mapping[str, tuple[str, ...]]
) -> tuple[str, list[str]]:
    for delimiter in ("\t", ","):
        names = [normal_name(name) for name in next(csv.reader([header], delimiter=delimiter), [])]
        for key, aliases in needed.items():
            found = next((alias for alias in aliases if alias in names), None)
            if found is None:
                break
            names[names.index(found)] = key
        else:
            return delimiter, names
    wanted = " and ".join(f"{key} ({', '.join(names)})" for key, names in needed.items())
    raise CorpusError(
        f"{path} should be separated by tabs or commas, with a header that names {wanted}; "
        f"its first line is {header.strip()[:80]!r}."
    )


def read_image(folder: Path, name: str) -> bytes:
    """Bytes of the file `name` inside `folder`; raises ImageRejectedError.

    A name that leads out of the folder, also through a symbolic link, is refused.
    """
    return safe_file(folder, name).read_bytes()


def safe_file(folder: Path, name: str) -> Path:
    """The file that `read_image` would read, all checks passed; raises ImageRejectedError."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ImageRejectedError(Reason.UNSAFE_PATH, f"{name} leads out of {folder.name}/")
    if not path.is_file():
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"{name} is not there")
    size = path.stat().st_size
    if size > MAX_IMAGE_BYTES:
        raise ImageRejectedError(
            Reason.UNUSABLE_IMAGE, f"{size:,} bytes; at most {MAX_IMAGE_BYTES:,}"
        )
    return path


def _safe(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").strip()
