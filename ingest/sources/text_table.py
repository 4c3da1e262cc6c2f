"""Text tables: detect encoding, separator and header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from ingest.corpus.records import CorpusError
from ingest.sources.columns import KNOWN, known_name
from ingest.sources.comma_separated import FILE, MAX_FIELD_CHARACTERS, comma_separated, shape_of
from ingest.sources.files import Found

__all__ = ["SEPARATORS", "TextForm", "encoding_of", "text_form", "text_rows", "undecodable"]

SEPARATORS = {"tab": "\t", "semicolon": ";", "comma": ",", "bar": "|"}
ENCODING_NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "cp1252": "Windows-1252"}
LOOKED_AT = 256 << 20  # bytes that tell the encoding
LINES_LOOKED_AT = 20
LONGEST_LINE = 1 << 20
LONGEST_TITLE = 8  # words of a column's name
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
UNDEFINED = b"\x81\x8d\x8f\x90\x9d"  # in Windows-1252
QUOTED = re.compile(r'"(?:[^"]|"")*"')
NUMBER = re.compile(r"-?[0-9]+(?:[.,][0-9]+)?")
CUI = re.compile(r"C\d{7}")
CUIS = re.compile(r"(C\d{7}[;,|\s]*)*")


@dataclass(frozen=True)
class TextForm:
    """How a text file is a table. columns: as its header has them, or id, caption without one."""

    encoding: str
    separator: str
    columns: tuple[str, ...]
    has_header: bool
    skipped: bool = False  # a first line that names the separator
    quoted: bool = False  # whether tabs and line ends in quotes are part of a field

    def __str__(self) -> str:
        """In words, for the line that tells what was recognised."""
        name = next(name for name, mark in SEPARATORS.items() if mark == self.separator)
        encoding = ENCODING_NAMES.get(self.encoding, self.encoding.upper())
        return f"{name}s, {encoding}{'' if self.has_header else ', no header'}"


def encoding_of(found: Found) -> str:
    """UTF-8 with or without a byte order mark, UTF-16, or else Windows-1252."""
    with found.open() as stream:
        data = stream.read(LOOKED_AT)
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = data[place:4096:2]
        if (
            len(half) > 1
            and half.count(0) > len(half) / 3
            and not data[1 - place : 4096 : 2].count(0)
        ):
            return name
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape")
        wrong = len(re.findall("[\udc80-\udcff]", text))
        right = len(re.findall("[^\0-\x7f\udc80-\udcff]", text))
        if wrong > right and not any(byte in data for byte in UNDEFINED):
            return "cp1252"
    return "utf-8"


def text_form(found: Found, encoding: str = "", separator: str = "") -> TextForm:
    """How the file is a table, as far as encoding and separator are not given.

    separator: one of SEPARATORS' names, or the character. Raises CorpusError.
    """
    encoding = encoding or encoding_of(found)
    try:
        codecs.lookup(encoding)
        with _text(found, encoding) as stream:
            lines = [stream.readline(LONGEST_LINE) for _ in range(LINES_LOOKED_AT)]
    except LookupError:
        raise CorpusError(f"There is no encoding {encoding!r}: try utf-8 or cp1252.") from None
    except UnicodeError:
        raise CorpusError(f"{found.name} is not text in the encoding {encoding}.") from None
    told = SEPARATOR_LINE.fullmatch(lines[0])
    if told:  # Excel writes it, and it is no part of the table
        lines, separator = lines[1:], separator or told[1]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise CorpusError(f"{found.name} is empty.")
    given = SEPARATORS.get(separator, separator)
    marks = [given] if given else list(SEPARATORS.values())
    if given and given not in SEPARATORS.values():
        raise CorpusError(f"{separator!r} is not a separator: choose {', '.join(SEPARATORS)}.")
    mark = max(marks, key=lambda mark: _likeliness(lines, mark))
    columns = tuple(_fields(lines[0], mark))
    if _has_header(lines, columns, mark):
        quoted = mark == "\t" and _quotes_lines(lines, len(columns))
        return TextForm(encoding, mark, columns, True, bool(told), quoted)
    names = tuple(f"column_{n}" for n in range(1, len(columns) + 1))
    if len(columns) == 2:
        texts = [fields[1].strip() for line in lines if len(fields := _fields(line, mark)) == 2]
        names = ("id", "cuis" if all(map(CUIS.fullmatch, texts)) else "caption")
        if texts and all("://" in text for text in texts):
            names = ("caption", "url")
        elif texts and all(map(NUMBER.fullmatch, texts)):
            names = ("id", "label")
    return TextForm(encoding, mark, names, has_header=False)


def text_rows(
    found: Found, form: TextForm, columns: int, key: int
) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and fields of each row; a text says why there are none.

    columns: how many fields a row should have. key: which of them names the row.
    """
    with _text(found, form.encoding) as stream:
        first = 1 + form.has_header + form.skipped
        if form.skipped:
            stream.readline()
        if form.has_header:
            stream.readline()
        if form.separator == "\t" and not form.quoted:
            rows = _tab_separated(stream, first, 0 if form.has_header else columns)
        else:
            rows = comma_separated(stream, columns, key, form.separator, first)
        for line, fields in rows:
            if isinstance(fields, list):  # a table program ends lines with separators
                while len(fields) > columns and not fields[-1].strip():
                    fields.pop()
            yield line, fields


def undecodable(encoding: str) -> str:
    """What becomes of bytes that are no UTF-8: lone surrogates, which corpora reject."""
    return "surrogateescape" if encoding.startswith("utf-8") else "replace"


def _text(found: Found, encoding: str) -> io.TextIOWrapper:
    errors = undecodable(encoding)
    first = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(found.open(), encoding=first, errors=errors, newline="")


def _fields(line: str, mark: str) -> list[str]:
    if mark == "\t":
        return [_unquoted(field) for field in line.rstrip("\r\n").split("\t")]
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return [line]


def _likeliness(lines: Sequence[str], mark: str) -> tuple[int, bool, float, int]:
    """How much a separator is like that of a table.

    Names that count in the first line; whether all lines are an id and a list of concepts, whose
    own separator may be frequent, too; lines that are as wide as the first, and how wide it is.
    """
    rows = [_fields(line, mark) for line in lines]
    width = len(rows[0])
    if width < 2:
        return 0, False, 0, width
    listed = all(
        len(row) == 2 and CUIS.fullmatch(row[1].strip()) and not CUI.search(row[0])
        for row in rows[1:]
    )
    alike = sum(len(row) == width for row in rows) / len(rows)
    names = set(map(known_name, rows[0]))
    return len(names & KNOWN), listed, alike, width


def _quotes_lines(lines: Sequence[str], width: int) -> bool:
    """Whether rows of that width go over several lines in quotes, as table programs write them."""
    plain = [line.count("\t") + 1 == width for line in lines]
    try:
        rows = list(csv.reader(lines, delimiter="\t", strict=True))
    except csv.Error:  # the last row may not end within these lines
        rows = list(csv.reader([*lines, '"'], delimiter="\t"))[:-1]
    return not all(plain) and all(len(row) == width for row in rows)


def _has_header(lines: Sequence[str], columns: Sequence[str], mark: str) -> bool:
    """Whether the first line names columns: it has a name that counts, or looks unlike the next."""
    if set(map(known_name, columns)) & KNOWN:
        return not CUI.fullmatch(columns[0].strip())
    if any("://" in name or len(name.split()) > LONGEST_TITLE for name in columns):
        return False
    if any(map(NUMBER.fullmatch, columns)):
        return False
    if len(lines) == 1:
        return not CUI.fullmatch(columns[0].strip()) and shape_of(columns[0].strip()) != FILE
    keys = [_fields(line, mark)[0].strip() for line in lines]
    alike = sum(shape_of(key) == shape_of(keys[0]) for key in keys[1:])
    return not (re.search(r"\d", keys[0]) and alike >= len(keys[1:]) / 2)


def _tab_separated(
    stream: TextIO, first: int, columns: int
) -> Iterator[tuple[int, list[str] | str]]:
    # Quotes are part of a caption here, unless they enclose the whole field; only line feeds end
    # a line: captions hold other control characters. columns: the last one takes further tabs.
    for line, text in enumerate(stream, first):
        if text.strip():
            fields = text.rstrip("\r\n").split("\t", columns - 1 if columns else -1)
            yield line, [_unquoted(field) for field in fields] if not columns else fields


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if QUOTED.fullmatch(field) else field
