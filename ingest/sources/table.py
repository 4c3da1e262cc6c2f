"""Read one table of any format: text, JSON, JSON lines, Parquet, Arrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.columns import (
    CAPTIONS,
    IMAGES_AND_ID,
    KNOWN,
    Reading,
    column_names,
    known_name,
)
from ingest.sources.files import Found, normal_name, split_of, suffix_of, told_apart, unpacked_name
from ingest.sources.text_table import encoding_of, text_form, text_rows

__all__ = ["TABLE_SUFFIXES", "TEXT", "Table", "TableRow", "keyed", "open_table"]

TEXT = (".csv", ".tsv", ".tab", ".psv", ".txt")
LINES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (*TEXT, *LINES, ".json", ".parquet", ".arrow")
MAX_JSON_BYTES = 1 << 30
BATCH = 64
ROWS_LOOKED_AT = 1000
BROKEN = "the line is not JSON"


@dataclass(frozen=True)
class TableRow:
    """One row: `values` by normalised column name."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """name: its path below the source. kind: what it was recognised as, in words.

    columns: normalised names, in order; `titles` as they stand in the file.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    titles: tuple[str, ...]
    rows: Callable[[], Iterator[TableRow | Rejection]] = field(repr=False)

    @property
    def folder(self) -> str:
        """The folder it lies in, below the source; "" is the source itself."""
        return _folder(self.name)

    @property
    def split(self) -> str:
        """The split that its name, or else that of a folder, tells of."""
        return next(filter(None, map(split_of, reversed(self.name.split("/")))), "")

    def sample(self) -> Iterator[Mapping[str, Any]]:
        """The values of the rows that can be used."""
        return (row.values for row in self.rows() if isinstance(row, TableRow))


def open_table(found: Found, reading: Reading = Reading()) -> Table:  # noqa: B008 - frozen
    """The table of a file, whose kind its ending tells; raises CorpusError."""
    suffix = suffix_of(unpacked_name(found.name))
    try:
        if suffix in LINES:
            return _lines(found)
        if suffix == ".json":
            return _json(found)
        if suffix in (".parquet", ".arrow"):
            return _arrow(found)
        return _text(found, reading)
    except ImageRejectedError as error:  # of a zip archive
        raise CorpusError(f"{found.name} cannot be read ({error.detail}).") from None
    except OSError as error:
        raise CorpusError(f"{found.name} cannot be read ({error.strerror}).") from None


def _folder(name: str) -> str:
    folder = PurePosixPath(name).parent.as_posix()
    return "" if folder == "." else folder


def _named(name: str, titles: Sequence[str]) -> tuple[str, ...]:
    """Normalised names, told apart; CorpusError if an image or id column is there twice."""
    plain = column_names(titles)
    twice = next((key for key in plain if plain.count(key) > 1 and key in IMAGES_AND_ID), None)
    if twice:
        raise CorpusError(
            f"{name} has {plain.count(twice)} columns named {twice}: rename all but one."
        )
    return tuple(told_apart(plain, {}))


def _text(found: Found, reading: Reading) -> Table:
    form = text_form(found, reading.encoding, reading.separator)
    columns = _named(found.name, form.columns)
    given = (normal_name(reading.image), known_name(reading.image))
    key = next((place for place, name in enumerate(columns) if name in given), None)
    if key is None:
        key = next((n for n, name in enumerate(columns) if name in IMAGES_AND_ID), 0)

    def rows() -> Iterator[TableRow | Rejection]:
        for line, fields in text_rows(found, form, len(columns), key):
            if isinstance(fields, str):
                yield Rejection(Reason.MALFORMED_ROW, found.name, line, detail=fields)
            elif len(fields) != len(columns):
                detail = f"{len(fields)} fields, {len(columns)} expected"
                yield Rejection(Reason.MALFORMED_ROW, found.name, line, _plain(fields[0]), detail)
            else:
                yield TableRow(line, dict(zip(columns, fields, strict=True)))

    return Table(found.name, str(form), columns, form.columns, rows)


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _lines(found: Found) -> Table:
    def rows() -> Iterator[TableRow | Rejection]:
        with found.open() as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip():
                    yield from _line(found.name, number, raw)

    titles = dict.fromkeys(
        name
        for row in islice(rows(), ROWS_LOOKED_AT)
        if isinstance(row, TableRow)
        for name in row.values
    )
    return Table(found.name, "JSON lines", tuple(titles), tuple(titles), rows)


def _line(name: str, number: int, raw: bytes) -> list[TableRow | Rejection]:
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return [Rejection(Reason.MALFORMED_ROW, name, number, detail=BROKEN)]
    return _object_rows(name, number, content, "the line is not a JSON object")


def _object_rows(name: str, number: int, content: object, wrong: str) -> list[TableRow | Rejection]:
    """The row of an object; of a case with a list of captioned images, a row for each of them."""
    if not isinstance(content, dict):
        return [Rejection(Reason.MALFORMED_ROW, name, number, detail=wrong)]
    values = keyed(content)
    for key, found in values.items():
        images = [keyed(part) for part in found if isinstance(part, dict)] if _many(found) else []
        if images and all(_captioned_image(image) for image in images):
            case = {k: v for k, v in values.items() if k != key}
            if "id" in case and "id" in images[0]:
                case.setdefault("case_id", case["id"])
            return [TableRow(number, {**case, **image}) for image in images]
    return [TableRow(number, values)]


def _many(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict) for part in value)


def _captioned_image(values: Mapping[str, Any]) -> bool:
    return not IMAGES_AND_ID.isdisjoint(values) and not set(CAPTIONS).isdisjoint(values)


def keyed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by known names; also those of an object that holds the row's caption."""
    names = told_apart(column_names(list(values)), {})
    made: dict[str, Any] = {}
    plain = (n for n, v in zip(names, values.values(), strict=True) if not isinstance(v, dict))
    captioned = not set(CAPTIONS).isdisjoint(plain)
    for name, value in zip(names, values.values(), strict=True):
        if isinstance(value, dict) and not captioned:
            inner = dict(zip(column_names(list(value)), value.values(), strict=True))
            if not set(CAPTIONS).isdisjoint(inner):
                made |= {
                    key if key not in names else f"{name}_{key}": v for key, v in inner.items()
                }
                continue
        made[name] = value
    return made


def _json(found: Found) -> Table:
    encoding = encoding_of(found)
    with found.open() as stream:
        data = stream.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise CorpusError(f"{found.name} has more than {MAX_JSON_BYTES:,} bytes: write JSON lines.")
    try:
        content = json.loads(data.decode("utf-8-sig" if encoding == "utf-8" else encoding))
    except (ValueError, RecursionError):
        lines = _lines(found)  # also under this name
        if lines.columns:
            return lines
        raise CorpusError(f"{found.name} is not JSON.") from None
    kind, items = _items(content)
    if not any(isinstance(item, dict) for item in items):
        raise CorpusError(
            f"{found.name} is not a table: it must be a list of objects, COCO captions, or texts "
            "by id."
        )
    wrong = "the entry is not an object"
    rows = [
        row for n, item in enumerate(items, 1) for row in _object_rows(found.name, n, item, wrong)
    ]
    titles = dict.fromkeys(n for row in rows if isinstance(row, TableRow) for n in row.values)
    return Table(found.name, kind, tuple(titles), tuple(titles), lambda: iter(rows))


def _items(content: object) -> tuple[str, Sequence[object]]:  # noqa: PLR0911 - one line each
    """What kind of JSON it is, and an object for each row; none where it is no table."""
    if isinstance(content, list):
        return "JSON", content
    if not isinstance(content, dict) or not content:
        return "", []
    if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
        coco = _coco(content["images"], content["annotations"])
        return "COCO captions", coco if any(map(_captioned, coco)) else []
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    objects = {name: value for name, value in content.items() if isinstance(value, dict)}
    parts: Mapping[str, object] = lists or objects
    if parts and all(map(split_of, parts)):
        return "JSON by split", _by_split(parts)
    named = set(map(known_name, content))
    values = list(content.values())
    if named & KNOWN and all(isinstance(value, dict) for value in values):  # pandas: by column
        ids = dict.fromkeys(row for column in values for row in column)
        return "JSON by column", [
            {"id": row, **{name: content[name].get(row) for name in content}} for row in ids
        ]
    if named & KNOWN and len(lists) == len(values) and len({len(v) for v in lists.values()}) == 1:
        return "JSON by column", [
            dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)
        ]
    rows = [
        found
        for found in lists.values()
        if (len(lists) == 1 and not _all_texts(found)) or _known_rows(found)
    ]
    if len(rows) == 1:
        return "JSON", rows[0]
    texts = sum(isinstance(value, str) or _all_texts(value) for value in values)
    if texts == len(values) or all(isinstance(value, dict) for value in values):
        return "JSON by id", _by_id(content)
    return "", []


def _by_split(splits: Mapping[str, Any]) -> list[object]:
    """A row for each entry of each split: an object, the name of an image, or a text by id."""
    return [
        {"split": name, **(item if isinstance(item, dict) else {"file_name": item})}
        for name, items in splits.items()
        for item in (_by_id(items) if isinstance(items, dict) else items)
    ]


def _by_id(items: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": name, **(item if isinstance(item, dict) else {"caption": item})}
        for name, item in items.items()
    ]


def _all_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _known_rows(items: Sequence[object]) -> bool:
    return any(isinstance(item, dict) and KNOWN & set(keyed(item)) for item in items[:1])


def _captioned(row: object) -> bool:
    return isinstance(row, dict) and bool(row.get("caption"))


def _coco(images: Sequence[object], annotations: Sequence[object]) -> list[object]:
    """A row for each image, with all its captions (https://cocodataset.org/#format-data)."""
    captions: dict[object, list[object]] = {}
    for note in annotations:
        if isinstance(note, dict) and note.get("caption"):
            captions.setdefault(str(note.get("image_id")), []).append(note["caption"])
    return [
        {**image, "caption": captions.get(str(image.get("id"))) or image.get("caption", [])}
        if isinstance(image, dict)
        else image
        for image in images
    ]


def _values(batch: pa.RecordBatch) -> Iterator[Iterable[object]]:
    """The rows; text that is no UTF-8 becomes lone surrogates, which corpora reject."""
    try:
        yield from (row.values() for row in batch.to_pylist())
    except UnicodeDecodeError:
        yield from zip(*map(_text_values, batch.columns), strict=True)


def _text_values(column: pa.Array) -> list[object]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        values: list[object] = column.to_pylist()
        return values
    held = column.cast(pa.large_binary()).to_pylist()
    return [each and each.decode("utf-8", "surrogateescape") for each in held]


def _arrow(found: Found) -> Table:
    """Parquet, or the Arrow stream that `datasets.save_to_disk` writes."""
    parquet = suffix_of(found.name) == ".parquet"
    what = "Parquet" if parquet else "Arrow"
    try:
        with found.open() as stream:
            schema = pq.read_schema(stream) if parquet else pa.ipc.open_stream(stream).schema
    except (OSError, pa.ArrowException):
        raise CorpusError(f"{found.name} is not a complete {what} file.") from None
    columns = _named(found.name, schema.names)

    def rows() -> Iterator[TableRow | Rejection]:
        number = 0
        try:
            with found.open() as stream:
                batches = (
                    pq.ParquetFile(stream).iter_batches(batch_size=BATCH)
                    if parquet
                    else pa.ipc.open_stream(stream)
                )
                for batch in batches:
                    for start in range(0, len(batch), BATCH):
                        for values in _values(batch.slice(start, BATCH)):
                            number += 1
                            yield TableRow(number, dict(zip(columns, values, strict=True)))
        except (OSError, pa.ArrowException, UnicodeDecodeError):
            raise CorpusError(f"{found.name} is not a complete {what} file.") from None

    return Table(found.name, what, columns, tuple(schema.names), rows)
