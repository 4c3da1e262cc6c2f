"""TREC qrels and run files.

Run files are ordered by score, ties by ascending document id; written scores are strictly
decreasing, so that every tool reads the same order. White space, quotes and "%" in ids are
percent-encoded, since the formats separate columns by white space and know no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from encoders.base.storage import whole_file
from eval.search.runs import NOTHING, EvaluationError, Qrels, Run, strictly_decreasing

__all__ = ["read_qrels", "read_run", "write_qrels", "write_run"]

_UNSAFE = re.compile(r'[\s%"]')
ROWS = 4_096  # queries written at once


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query -> document -> grade, from lines `query iteration document grade`.

    Raises EvaluationError naming the first line that is not of that form.
    """
    judged: dict[str, dict[str, int]] = {}
    for number, (query, _, document, grade) in _columns(path, 4, "query 0 document grade"):
        judged.setdefault(query, {})[document] = int(_number(grade, path, number))
    return judged


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Query -> document -> score, from lines `query Q0 document rank score tag`.

    The rank column is not looked at, as in trec_eval. Raises EvaluationError as `read_qrels`.
    """
    scored: dict[str, dict[str, float]] = {}
    form = "query Q0 document rank score tag"
    for number, (query, _, document, _, score, _) in _columns(path, 6, form):
        scored.setdefault(query, {})[document] = _number(score, path, number)
    return scored


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write the judged documents of every query; the file is whole or not there."""
    documents = [_encoded(name) for name in qrels.documents]
    matrix = qrels.grades.tocsr()
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as stream:
        for row, query in enumerate(qrels.queries):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            judged = zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True)
            start = f"{_encoded(query)} 0 "
            stream.write("".join([f"{start}{documents[d]} {grade}\n" for d, grade in judged]))


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a run; the file is whole or not there."""
    queries = pa.array([_encoded(name) for name in run.queries], pa.string())
    documents = pa.array([_encoded(name) for name in run.documents], pa.string())
    scores = strictly_decreasing(run.scores)
    returned = run.ranked != NOTHING
    form = WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
    with whole_file(path) as beside, pa.OSFile(str(beside), "wb") as stream:
        for start in range(0, len(run.queries), ROWS):
            rows = slice(start, start + ROWS)
            owners, places = np.nonzero(returned[rows])
            count = len(owners)
            columns = {
                "query": queries.take(pa.array(owners + start)),
                "iteration": pa.repeat("Q0", count),
                "document": documents.take(pa.array(run.ranked[rows][owners, places])),
                "rank": pa.array(places + 1),
                "score": pa.array(scores[rows][owners, places]),
                "tag": pa.repeat(_encoded(tag), count),
            }
            write_csv(pa.table(columns), stream, form)


def _encoded(name: str) -> str:
    return _UNSAFE.sub(lambda match: quote(match[0]), name)


def _columns(path: Path, count: int, form: str) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        columns = line.split()
        if len(columns) != count:
            raise EvaluationError(f"{path}, line {number}: expected `{form}`, found {line[:80]!r}.")
        yield number, [unquote(column) for column in columns]


def _number(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise EvaluationError(f"{path}, line {line}: {text[:40]!r} is not a number.") from None
