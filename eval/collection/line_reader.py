"""Read lines of topics, judgements and run files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from eval.collection.runs import EvaluationError

__all__ = ["columns_of", "number", "read_lines", "read_text", "whole_number"]

SHOWN = 80


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises EvaluationError if it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise EvaluationError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank.

    Lines end with LF or CR LF and nothing else: U+2028 and its like are part of a text.
    """
    for place, line in enumerate(read_text(path).split("\n"), start=1):
        text = line.removesuffix("\r")
        if text.strip():
            yield place, text


def columns_of(line: str, count: int, path: Path, place: int, form: str) -> list[str]:
    """Columns between tabs where the line has as many, else between white space."""
    columns = [part.strip() for part in line.split("\t")]
    if len(columns) != count or not all(columns):
        columns = line.split()
    if len(columns) != count:
        raise EvaluationError(f"{path}, line {place}: expected `{form}`, found {line[:SHOWN]!r}.")
    return columns


def number(text: str, path: Path, place: int) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EvaluationError(f"{path}, line {place}: {text[:SHOWN]!r} is not a finite number.")
    return value


def whole_number(text: str, path: Path, place: int) -> int:
    """A grade: "2" and "2.0" are whole, "1.5" is refused."""
    value = number(text, path, place)
    if not value.is_integer() or abs(value) > 1_000_000:
        raise EvaluationError(
            f"{path}, line {place}: the grade {text[:SHOWN]!r} is not a whole number. "
            "Grades are whole, 0 for not relevant."
        )
    return int(value)
