"""Combine tables and images to records; used by all layouts except DICOM."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import Reason, Record, Rejection, Row
from ingest.sources.columns import Columns
from ingest.sources.fields import GROUPS, record_from, text_of, told_by_path
from ingest.sources.file_index import FileIndex
from ingest.sources.files import IMAGE_SUFFIXES, split_of, stem_of, suffix_of
from ingest.sources.table import Table, TableRow

__all__ = ["Joined", "Part", "TableSource"]

# Ids of ImageCLEF and ROCOv2 tell the split, also where a folder holds several (`dev_caption`).
ELSEWHERE = re.compile(r"[/\\]|[A-Za-z]+:[/\\]|\.\.[/\\]")  # a path of another machine
SPLIT_OF_ID = re.compile(r"(?:^|[_-])(train|valid|validation|val|test)[_-]\d+$")


@dataclass(frozen=True)
class Joined:
    """A further table about the same ids: what it says goes to the row, by these names.

    on: the row's column with that id; "": the row's own id, or its image's stem. split: of all
    rows about which it says something. told: whether an id that no row has is written down, and
    for which reason.
    """

    table: Table
    id: str
    columns: Mapping[str, str]  # in the table -> of the row
    told: bool = True
    on: str = ""
    split: str = ""
    reason: Reason = Reason.UNKNOWN_ID


@dataclass(frozen=True)
class Part:
    """A table of captions, and what belongs to it.

    split: told by the table's name; otherwise: the split of rows that nothing else tells of.
    names: what a row's image may be called, where that is more than its image column says.
    shaped: the row's values made of what all tables say of it.
    """

    table: Table
    columns: Columns
    split: str = ""
    otherwise: str = ""
    folders: tuple[str, ...] = ("",)
    joined: tuple[Joined, ...] = ()
    names: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    shaped: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    image_needed: bool = True


@dataclass(frozen=True)
class TableSource:
    """All parts of a data set.

    known: names of its concepts by id, empty where it has no list. grouped: whether paths tell of
    patients, cases or articles. unread: kinds of files beside it that are not read.
    """

    path: Path
    format: str
    parts: tuple[Part, ...]
    label: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()
    grouped: bool = False
    unread: str = ""

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def recognised(self) -> str:
        """What was recognised, in one line."""
        first, more = self.parts[0], len(self.parts) - 1
        columns = first.columns
        titles = dict(zip(first.table.columns, first.table.titles, strict=True))
        there = {*titles, *(name for join in first.joined for name in join.columns.values())}
        grouping = ("group_id", *(name for name, *_ in GROUPS))
        group = columns.group or next((name for name in grouping if name in there), "")
        roles = {
            "captions": columns.captions[: None if columns.joined else 1],
            "images": columns.images[:1],
            "groups": (group or ("paths" if self.grouped else ""),),
            "splits": (columns.split,),
        }
        said = [
            f"{role} from {' + '.join(titles.get(name, name) for name in names)}"
            for role, names in roles.items()
            if any(names)
        ]
        tables = f"{first.table.name} ({first.table.kind})" + (f" and {more} more" if more else "")
        joined = sorted({join.table.name for part in self.parts for join in part.joined})
        beside = f"; beside {', '.join(joined[:3])}" if joined else ""
        further = f" and {len(joined) - 3} more" if len(joined) > 3 else ""
        unread = f"; not read: {self.unread}" if self.unread else ""
        return f"{tables}: {', '.join(said)}{beside}{further}{unread}"

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, part after part."""
        yield from self.rejections
        taken: _Taken = {}
        with FileIndex(self.path) as files:
            for part in self.parts:
                about = yield from _about(part)
                # Ids alone promise no images: such a data set may have come as text only.
                bare = part.columns.images in ((), (part.columns.id,)) or not part.image_needed
                bare &= not any(files.images_below(folder) for folder in part.folders)
                for row in part.table.rows():
                    if isinstance(row, Rejection):
                        yield row
                    else:
                        yield from self._rows(part, row, about, None if bare else files, taken)
                for join, found in about:
                    left = {key: line for key, (line, _) in found.items() if line}
                    if found and len(left) == len(found) and not join.told:
                        detail = f"none of its {join.id} is one of a row with a caption"
                        yield Rejection(Reason.UNUSED_TABLE, join.table.name, detail=detail)
                    for identifier, line in left.items() if join.told else ():
                        yield Rejection(join.reason, join.table.name, line, identifier)
            yield from files.unused([folder for part in self.parts for folder in part.folders])

    def _rows(
        self,
        part: Part,
        row: TableRow,
        about: _About,
        files: FileIndex | None,
        taken: _Taken,
    ) -> Iterator[Row]:
        """The records of a row: one, or one for each of its images."""
        values = dict(row.values)
        pictures = _pictures(values, part.columns, files, part.table.folder)
        key = _stem(text_of(values.get(part.columns.id)).strip().rstrip("/"))
        joined_by = key or _stem(PurePosixPath(_name_of(pictures[0])).name)
        for join, found in about:
            by = _stem(text_of(values.get(join.on)).strip()) if join.on else joined_by
            if by in found:
                values |= found[by][1]
                found[by] = 0, found[by][1]
        values = dict(part.shaped(values))
        split = _split(part, joined_by)
        first = ""
        for number, picture in enumerate(pictures):
            problem, image, path, own = None, None, "", ""
            try:
                image, path, own = _image(part, values, picture, files, split)
            except ImageRejectedError as error:
                problem = error
            identifier = key if key and not number else ""
            name = "" if _bytes_of(picture) else _name_of(picture)  # shards repeat such names
            name = path if path and ELSEWHERE.match(name) else name
            identifier = identifier or _identifier(name, path, split, taken)
            number_name = f"{PurePosixPath(part.table.name).stem}-{row.line - 1}"
            identifier = identifier or _identifier(number_name, "", split, taken)
            first = first or identifier
            if problem is not None:
                kept = not part.image_needed and problem.reason == Reason.MISSING_IMAGE
                yield Rejection(
                    problem.reason, part.table.name, row.line, identifier, problem.detail, kept
                )
                if not kept:
                    continue
            made = record_from(
                values | told_by_path(path or name, values),
                part.columns,
                identifier=identifier,
                split=split or own or part.otherwise,
                source=self.label,
                file=part.table.name,
                line=row.line,
            )
            if isinstance(made, Record):
                made = replace(made, image=image, image_path=path)
                if len(pictures) > 1:  # several images of one text belong together
                    made = _together(made, f"row:{first}")
                yield from self._with_known(made)
            else:
                yield made

    def _with_known(self, record: Record) -> Iterator[Row]:
        """The record with the names of its concepts, and a word on each that is not in the list."""
        if self.known:
            for concept in record.concepts:
                if concept not in self.known:
                    yield Rejection(
                        Reason.UNKNOWN_CONCEPT,
                        record.file,
                        record.line,
                        record.id,
                        concept,
                        row_kept=True,
                    )
            kept = tuple(concept for concept in record.concepts if concept in self.known)
            names = tuple(self.known[concept] for concept in kept)
            record = replace(record, concepts=kept, concept_names=names)
        yield record


_Taken = dict[str, tuple[str, str]]  # split and path of the first with a name
_About = list[tuple[Joined, dict[str, tuple[int, dict[str, Any]]]]]  # line and values by id


def _about(part: Part) -> Generator[Rejection, None, _About]:
    """What the joined tables say, by id."""
    about: _About = []
    pool: dict[str, str] = {}  # values repeat, and are kept once
    for join in part.joined:
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        for row in join.table.rows():
            if isinstance(row, Rejection):
                yield row
                continue
            identifier = _stem(text_of(row.values.get(join.id)).strip())
            if identifier in found:
                yield Rejection(Reason.DUPLICATE_ID, join.table.name, row.line, identifier)
                continue
            values = {
                new: row.values[old] for old, new in join.columns.items() if row.values.get(old)
            }
            values |= {"split": join.split} if join.split else {}
            found[identifier] = (
                row.line,
                {k: pool.setdefault(v, v) if isinstance(v, str) else v for k, v in values.items()},
            )
        about.append((join, found))
    return about


def _stem(name: str) -> str:
    """A file's name without the ending of an image, or an id as it is."""
    return stem_of(name) if suffix_of(name) in IMAGE_SUFFIXES else name


def _pictures(
    values: Mapping[str, Any], columns: Columns, files: FileIndex | None, near: str
) -> list[object]:
    """What the image columns hold: names, bytes, or both; [None] where they are empty.

    The name of a folder stands for all images in it.
    """
    for column in columns.images:
        value = values.get(column)
        if isinstance(value, list):
            value = [part for part in value if part]
        if isinstance(value, str) and files is not None and not files.has(value):
            value = [*files.folder(value, near)] or value
        if value:
            return value if isinstance(value, list) else [value]
    return [None]


def _name_of(picture: object) -> str:
    name = picture.get("path") if isinstance(picture, dict) else picture
    return text_of(name).strip()


def _bytes_of(picture: object) -> bytes | None:
    data = picture.get("bytes") if isinstance(picture, dict) else picture
    return data if isinstance(data, bytes) else None


def _split(part: Part, identifier: str) -> str:
    """The split that an official id tells of, where the table's own name does not or says `dev`."""
    told = SPLIT_OF_ID.search(identifier)
    weak = not part.split or re.search(r"(?:^|[^a-z])dev(?:[^a-z]|$)", part.table.name.lower())
    return split_of(told[1]) if told and weak else part.split


def _identifier(name: str, path: str, split: str, taken: _Taken) -> str:
    """The name without suffix; with its split, or its whole path, where others have the same name.

    A row without a split that names an image again has the same id, and is told of as such.
    """
    stem = _stem(name.replace("\\", "/")).removeprefix("./").removeprefix("images/")
    owner, place = taken.setdefault(stem, (split, path))
    if not stem or (place == path and split in (owner, "")):
        return stem
    return _stem(path) if split == owner and path else f"{split}/{stem}"


def _image(
    part: Part, values: Mapping[str, Any], picture: object, files: FileIndex | None, split: str
) -> tuple[bytes | None, str, str]:
    """Bytes, path, and the split that the path tells of; raises ImageRejectedError."""
    data = _bytes_of(picture)
    if data is not None:
        return data, _name_of(picture) if isinstance(picture, dict) else "", ""
    name = _name_of(picture)
    names = list(part.names(values)) if part.names else [name] if name else []
    if files is None or not (names or part.folders):
        return None, "", ""
    if not names:
        raise ImageRejectedError(Reason.MISSING_IMAGE, f"{part.columns.images[0]} is empty")
    for further in part.columns.images[1:]:  # it is known of, and not told of as unused
        with suppress(ImageRejectedError):
            files.find(text_of(values.get(further)), part.table.folder, split)
    problems: list[ImageRejectedError] = []
    cells = (text for value in values.values() if (text := text_of(value)) and text != name)
    folders = (f"{text}/{name}" for text in cells if ".." not in name and files.has_folder(text))
    for called in chain(names, folders):
        try:
            key = files.find(called, part.table.folder, split)
        except ImageRejectedError as error:
            problems.append(error)
        else:
            own = next(filter(None, map(split_of, reversed(key.split("/")[:-1]))), "")
            return files.read(key), key, own
    raise problems[0]


def _together(record: Record, key: str) -> Record:
    if record.group_id:
        return replace(record, group_keys=(*record.group_keys, key))
    return replace(record, group_id=key.partition(":")[2], group_kind="case")
