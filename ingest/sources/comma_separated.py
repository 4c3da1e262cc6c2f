"""Parse rows with commas (RFC 4180), semicolons or bars, also with broken quotes.

One quote too many makes all that follows a part of one field, up to the next quote or to the
end of the file, and a lenient reader takes it without a word. Here a row of several lines is
only taken where its quotes are closed as they should be and its lines are no rows themselves;
of any other, the first line is an error, and reading goes on with the second.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import TextIO

__all__ = ["FILE", "MAX_FIELD_CHARACTERS", "comma_separated", "shape_of"]

MAX_FIELD_CHARACTERS = 16 << 20
FILE_NAME = re.compile(r"\S+\.(?:jpe?g|png|tiff?|bmp|gif|webp|dcm)", re.IGNORECASE)
FILE = "."  # the shape of keys that are names of files
NUMBERED = re.compile(r"[0-9a-z]*[0-9][0-9a-z]*", re.IGNORECASE)
# Keys that are bare numbers or words are also what a line of a report may begin with.
LINES_LIKE_ROWS = 10


def comma_separated(
    stream: TextIO, columns: int, key: int, mark: str = ",", first: int = 2
) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and fields of each row after the header; a text says why there are none.

    columns: how many fields a row should have. key: which of them names the row; its values tell
    whether lines between quotes are rows that a broken quote has swallowed. mark: what separates
    fields. first: the number of the stream's next line.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    waiting: deque[str] = deque()  # read before, to be read again
    number = first
    while (row := _next_row(waiting, stream, mark))[0]:
        lines, fields = row
        if fields is not None and _swallowed_rows(lines, fields, columns, key, mark):
            fields = None
        if fields is None:
            waiting.extendleft(reversed(lines[1:]))
            del lines[1:]
            yield number, "the quote that opens in this line is not closed where it should be"
        elif any(fields):
            yield number, fields
        number += len(lines)


def _next_row(waiting: deque[str], stream: TextIO, mark: str) -> tuple[list[str], list[str] | None]:
    """The lines up to the one where no quote is open, and their fields, None at a fault."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        while line := waiting.popleft() if waiting else stream.readline():
            taken.append(line)
            yield line

    try:
        return taken, next(csv.reader(lines(), delimiter=mark, strict=True), [])
    except csv.Error:
        # Text after a closing quote, `"Chest" CT`, harms no other line and is only unusual.
        return taken, _lenient(taken[0], mark) if len(taken) == 1 else None


def _lenient(line: str, mark: str) -> list[str] | None:
    """Fields of a line with text after a closing quote, or None if it leaves a quote open."""
    reader = csv.reader([line, ""], delimiter=mark)
    try:
        fields = next(reader)
    except csv.Error:  # a field of more characters than the limit
        return None
    return fields if reader.line_num == 1 else None


def _swallowed_rows(lines: list[str], fields: list[str], columns: int, key: int, mark: str) -> bool:
    """Whether at least half of the lines, but the one with the row's own key, are rows too."""
    if len(lines) == 1 or len(fields) != columns:
        return False
    own = fields[key].strip()
    parts = [line.replace('"', "").strip("\r\n").split(mark) for line in lines]
    others = [found[key].strip() for found in parts if len(found) == columns]
    shape = shape_of(own)
    alike = sum(other != own and shape_of(other) == shape for other in others)
    enough = 1 if re.search("[./_-]", shape) else LINES_LIKE_ROWS
    return alike >= max(enough, (len(lines) - 1) / 2)


def shape_of(key: str) -> str:
    """What the keys of one table have in common: the kind of file, or all but the numbers."""
    return FILE if FILE_NAME.fullmatch(key) else NUMBERED.sub("0", key)
