"""Quotes that are broken cost their own line, and whole captions of several lines stay."""

from __future__ import annotations

import csv
import io

import pytest

from ingest.sources.comma_separated import comma_separated


def rows(text: str, columns: int = 2, key: int = 0) -> tuple[list[str], list[int]]:
    """Keys of the rows, and the lines at fault, of a table whose header is line 1."""
    found = list(comma_separated(io.StringIO(text, newline=""), columns, key))
    taken = [fields[key] for _, fields in found if not isinstance(fields, str)]
    return taken, [line for line, fields in found if isinstance(fields, str)]


def table(names: list[str], captions: dict[int, str], *, key: int = 0) -> str:
    """Lines of two fields, where some captions are put down as they are."""
    pairs = [(name, captions.get(n, f"caption {n}")) for n, name in enumerate(names)]
    return "".join(f"{','.join(pair if key == 0 else pair[::-1])}\n" for pair in pairs)


NAMES = {
    "files": [f"images/a{n}.png" for n in range(30)],
    "ids": [f"ImageCLEF_Train_{n:03d}" for n in range(30)],
    "hashes": [f"{n * 7919:08x}.jpg" for n in range(30)],
    "numbers": [str(n) for n in range(30)],
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("key", [0, 1])
@pytest.mark.parametrize(
    ("captions", "lost"),
    [
        ({10: '"caption 10'}, {10}),  # open to the end of the file
        ({10: '"caption 10', 20: '"a, b"'}, {10}),  # up to a quoted caption
        ({10: '"caption 10', 25: '"caption 25'}, {10, 25}),
        ({10: '"caption 10', 25: 'caption 25"'}, {10}),  # well-formed, and of 15 rows
    ],
)
def test_a_stray_quote_costs_its_own_line(kind, key, captions, lost):
    names = NAMES[kind]
    taken, wrong = rows(table(names, captions, key=key), key=key)
    assert taken == [name for n, name in enumerate(names) if n not in lost]
    assert wrong == [n + 2 for n in sorted(lost)]


@pytest.mark.parametrize("kind", NAMES)
def test_a_caption_of_several_lines_is_taken(kind):
    caption = 'Findings, normal\n1, heart "large"\n\n2, lungs clear\nsee a1, and 7.5, below\n'
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows((name, caption) for name in NAMES[kind])
    assert rows(out.getvalue()) == (NAMES[kind], [])


def test_a_quoted_word_at_the_beginning_of_a_field_is_taken_as_before():
    assert rows('a1.png,"Chest" CT\na2.png,head\n') == (["a1.png", "a2.png"], [])
