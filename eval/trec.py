"""TREC qrels and run files.

Run files are ordered by score, ties by ascending document id; written scores are strictly
decreasing, so that every tool reads the same order. White space and "%" in ids are
percent-encoded, since the formats separate columns by white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from encoders.storage import whole_file
from eval.runs import EvaluationError, Qrels, Run, strictly_decreasing

__all__ = ["read_qrels", "read_run", "write_qrels", "write_run"]

_UNSAFE = re.compile(r"[\s%]")


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
    scores = strictly_decreasing(run.scores)
    documents = [_encoded(name) for name in run.documents]
    tag = _encoded(tag)
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as stream:
        for row, (query, size) in enumerate(zip(run.queries, run.sizes.tolist(), strict=True)):
            ranked = zip(run.ranked[row, :size].tolist(), scores[row, :size].tolist(), strict=True)
            start = f"{_encoded(query)} Q0 "
            # Nine digits tell any two float32 apart.
            lines = [
                f"{start}{documents[number]} {rank} {score:.9g} {tag}\n"
                for rank, (number, score) in enumerate(ranked, start=1)
            ]
            stream.write("".join(lines))


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
