"""Reading what somebody else wrote: tables, lines and image files, trusting none of it."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ingest.corpus.images import MAX_IMAGE_BYTES, ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.comma_separated import comma_separated

__all__ = [
    "IMAGE_SUFFIXES",
    "SPLITS",
    "TableRow",
    "normal_name",
    "read_image",
    "read_tabbed",
    "read_table",
    "safe_file",
    "split_named",
    "split_of",
    "told_apart",
    "unused_images",
]

LINES_LOOKED_AT = 20
QUOTED = re.compile(r'"(?:[^"]|"")*"')

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"}

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
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


def split_named(value: str) -> str:
    """The split that a column's value tells of; a word of another meaning as it is."""
    return split_of(value) or value.strip().lower()


def normal_name(column: str) -> str:
    """A column's name in lower case with `_` between words: "Canonical name": canonical_name."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def read_tabbed(path: Path, columns: int, name: str) -> Iterator[tuple[int, list[str]] | Rejection]:
    """Line number and tab-separated fields of each line of a file without header or quotes.

    name: what rejections call the file.
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
                yield Rejection(Reason.MALFORMED_ROW, name, number, _safe(fields[0]), detail)
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


def read_table(
    path: Path, needed: Mapping[str, tuple[str, ...]], name: str
) -> Iterator[TableRow | Rejection]:
    """Rows of a table with a header, separated by tabs or commas, whichever the header shows.

    needed: for each column that must be there, the names it may have, first the one that names
    the row. The rows carry it under its key; every other column under its own normalised name.
    name: what rejections call the file.
    Raises CorpusError where the header shows neither.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        delimiter, names = _header(path, stream.readline(), needed)
        if delimiter == "\t":
            rows = _tab_separated(stream)
        else:
            rows = comma_separated(stream, len(names), names.index(next(iter(needed))))
        for line, fields in rows:
            if isinstance(fields, str):
                yield Rejection(Reason.MALFORMED_ROW, name, line, detail=fields)
            elif len(fields) != len(names):
                detail = f"{len(fields)} fields, {len(names)} expected"
                yield Rejection(Reason.MALFORMED_ROW, name, line, _safe(fields[0]), detail)
            else:
                yield TableRow(line, dict(zip(names, fields, strict=True)))


def _tab_separated(stream: TextIO) -> Iterator[tuple[int, list[str] | str]]:
    # Quotes are part of a caption here, unless they enclose the whole field.
    for line, text in enumerate(stream, 2):
        if text.strip():
            yield line, [_unquoted(field) for field in text.rstrip("\r\n").split("\t")]


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if QUOTED.fullmatch(field) else field


def _header(
    path: Path, header: str, needed: Mapping[str, tuple[str, ...]]
) -> tuple[str, list[str]]:
    for delimiter in ("\t", ","):
        names = [normal_name(name) for name in next(csv.reader([header], delimiter=delimiter), [])]
        keys: dict[int, str] = {}
        for key, aliases in needed.items():
            found = next((alias for alias in aliases if alias in names), None)
            if found is None:
                break
            if names.count(found) > 1:
                raise CorpusError(
                    f"{path} has {names.count(found)} columns named {found}: rename all but one."
                )
            keys[names.index(found)] = key
        else:
            return delimiter, told_apart(names, keys)
    wanted = " and ".join(f"{key} ({', '.join(names)})" for key, names in needed.items())
    raise CorpusError(
        f"{path} should be separated by tabs or commas, with a header that names {wanted}; "
        f"its first line is {header.strip()[:80]!r}."
    )


def told_apart(names: Sequence[str], keys: Mapping[int, str]) -> list[str]:
    """The names, those at some places replaced by their keys, with a number where one is taken."""
    taken = set(keys.values())
    found = []
    for place, name in enumerate(names):
        number, free = 2, name
        while place not in keys and free in taken:
            number, free = number + 1, f"{name}_{number}"
        found.append(keys.get(place, free))
        taken.add(found[-1])
    return found


def read_image(folder: Path, name: str) -> bytes:
    """Bytes of the file `name` inside `folder`; raises ImageRejectedError.

    A name that leads out of the folder, also through a symbolic link, is refused.
    """
    path = safe_file(folder, name)
    try:
        return path.read_bytes()
    except OSError as error:
        detail = f"{name} cannot be read ({error.strerror})"
        raise ImageRejectedError(Reason.UNUSABLE_IMAGE, detail) from None


def safe_file(folder: Path, name: str) -> Path:
    """The file that `read_image` would read, all checks passed; raises ImageRejectedError."""
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
        size = path.stat().st_size if inside and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, NUL, no UTF-8
        detail = f"{name[:80]!r} is no name that a file can have"
        raise ImageRejectedError(Reason.MISSING_IMAGE, detail) from None
    if not inside:
        raise ImageRejectedError(Reason.UNSAFE_PATH, f"{name} leads out of {folder.name}/")
    if size is None:
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"{name} is not there")
    if size > MAX_IMAGE_BYTES:
        raise ImageRejectedError(
            Reason.UNUSABLE_IMAGE, f"{size:,} bytes; at most {MAX_IMAGE_BYTES:,}"
        )
    return path


def unused_images(folder: Path, asked: Set[Path], name: str) -> Iterator[Rejection]:
    """The images at or below `folder` that are none of the normalised paths that rows `asked` for.

    name: what rejections call the folder.
    """
    folder = Path(os.path.normpath(folder))
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path not in asked and path.is_file():
            place = path.relative_to(folder).as_posix()
            yield Rejection(Reason.UNUSED_FILE, f"{name}/{place}", id=path.stem)


def _safe(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").strip()
