"""Read and write TREC qrels and run files.

Run files are ordered by score, ties by ascending document id; written scores are strictly
decreasing, so that every tool reads the same order. White space, quotes and "%" in ids are
percent-encoded when written, since the formats separate columns by white space and know no quotes.
Ids are never decoded when read: an id that stands in the file is taken as it stands, and an
encoded one is recognised by the ids that are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from encoders.base.storage import whole_file
from eval.collection.line_reader import columns_of, number, read_lines, whole_number
from eval.collection.runs import NOTHING, EvaluationError, Qrels, Run, strictly_decreasing

__all__ = ["KnownIds", "add_grade", "encoded", "read_qrels", "read_run", "write_qrels", "write_run"]

_UNSAFE = re.compile(r'[\s%"]')
ROWS = 4_096  # queries written at once


class KnownIds:
    """Ids as a file may write them: as they are, or percent-encoded as `write_run` does."""

    def __init__(self, ids: Collection[str] = ()) -> None:
        self._known = frozenset(ids)
        self._encoded = {encoded(name): name for name in ids if encoded(name) != name}

    def resolve(self, name: str) -> str:
        """The id that a file's column stands for."""
        return name if name in self._known else self._encoded.get(name, name)


def read_qrels(
    path: Path, known: Collection[str] = (), repeated: list[str] | None = None
) -> dict[str, dict[str, int]]:
    """Query -> document -> grade, from lines `query iteration document grade`.

    known: ids of queries and documents, to recognise encoded ones by. A line that says again
    what another said is dropped and counted in `repeated`. Raises EvaluationError naming the first
    line that is not of that form, or that gives a pair another grade.
    """
    ids = KnownIds(known)
    judged: dict[str, dict[str, int]] = {}
    for place, line in read_lines(path):
        query, _, document, grade = columns_of(line, 4, path, place, "query 0 document grade")
        add_grade(
            judged,
            (ids.resolve(query), ids.resolve(document)),
            whole_number(grade, path, place),
            (path, place),
            repeated,
        )
    return judged


def add_grade(
    judged: dict[str, dict[str, int]],
    pair: tuple[str, str],
    grade: int,
    where: tuple[Path, int],
    repeated: list[str] | None,
) -> None:
    """Add one judgement; a pair judged twice must be judged alike."""
    query, document = pair
    row = judged.setdefault(query, {})
    if document in row:
        path, place = where
        if row[document] != grade:
            raise EvaluationError(
                f"{path}, line {place}: query {query!r} and document {document!r} were judged "
                f"{row[document]} before and are judged {grade} here. Keep one of the two lines."
            )
        if repeated is not None:
            repeated.append(f"line {place}")
    row[document] = grade


def read_run(path: Path, known: Collection[str] = ()) -> dict[str, dict[str, float]]:
    """Query -> document -> score, from lines `query Q0 document rank score tag`.

    The rank column is not looked at, as in trec_eval. Raises EvaluationError naming the first
    line that is not of that form, or that ranks a document a second time for its query.
    """
    ids = KnownIds(known)
    scored: dict[str, dict[str, float]] = {}
    form = "query Q0 document rank score tag"
    for place, line in read_lines(path):
        query, _, document, _, score, _ = columns_of(line, 6, path, place, form)
        row = scored.setdefault(ids.resolve(query), {})
        document = ids.resolve(document)
        if document in row:
            raise EvaluationError(
                f"{path}, line {place}: document {document!r} is ranked twice for query {query!r}."
            )
        row[document] = number(score, path, place)
    return scored


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write the judged documents of every query; the file is whole or not there."""
    documents = [encoded(name) for name in qrels.documents]
    matrix = qrels.grades.tocsr()
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as stream:
        for row, query in enumerate(qrels.queries):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            judged = zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True)
            start = f"{encoded(query)} 0 "
            stream.write("".join([f"{start}{documents[d]} {grade}\n" for d, grade in judged]))


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a run; the file is whole or not there."""
    queries = pa.array([encoded(name) for name in run.queries], pa.string())
    documents = pa.array([encoded(name) for name in run.documents], pa.string())
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
                "tag": pa.repeat(encoded(tag), count),
            }
            write_csv(pa.table(columns), stream, form)


def encoded(name: str) -> str:
    """The id without white space, quotes and "%"."""
    return _UNSAFE.sub(lambda match: quote(match[0]), name)
