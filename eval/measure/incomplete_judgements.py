"""Incomplete judgements: share of judged documents, metrics on condensed lists.

Judged@k and condensed lists, from which unjudged documents are left out (Sakai, SIGIR 2007): a
system that finds what nobody looked at is not punished for it. The pool of unjudged documents of
all runs is written as a file that a person fills in.

    protocol<tab>query<tab>document<tab>grade<tab>text<tab>caption

`grade` is empty where nobody judged yet, 0 for not relevant, 1 and more for relevant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.base.storage import whole_file
from eval.collection.line_reader import read_lines, whole_number
from eval.collection.pool import Pool
from eval.collection.runs import NOTHING, EvaluationError, Qrels, Run
from eval.collection.trec import add_grade
from eval.measure.metrics import measure, parse_metrics
from eval.measure.results import TaskResult
from eval.protocols.tasks import Task

__all__ = [
    "HEADER",
    "Judged",
    "condensed",
    "judged_figures",
    "read_pool",
    "with_judgements",
    "write_pool",
]

HEADER = ("protocol", "query", "document", "grade", "text", "caption")
DEPTH = 10
_ONE_LINE = str.maketrans("\t\n\r", "   ")

Grades = Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True)
class Judged:
    """share: how much of the first 10 is judged; condensed: the metric over condensed lists."""

    share: float
    metric: str
    condensed: float


def judged_figures(result: TaskResult) -> dict[str, Judged]:
    """Profile -> its figures."""
    metric = parse_metrics([result.metric])
    found = {}
    for profile, run in result.runs.items():
        marks = judged_marks(run, result.task.qrels)[:, :DEPTH]
        shown = (run.ranked != NOTHING)[:, :DEPTH].sum(axis=1)
        share = np.divide(marks.sum(axis=1), shown, out=np.ones(len(marks)), where=shown > 0)
        values = measure(condensed(run, result.task.qrels), result.task.qrels, metric)
        found[profile] = Judged(
            float(share.mean()), result.metric, float(values[result.metric].mean())
        )
    return found


def judged_marks(run: Run, qrels: Qrels) -> NDArray[np.bool_]:
    """Which ranked documents are judged, bool [queries, depth]; grades of 0 are judgements."""
    matrix = qrels.grades.tocsr()
    marks = np.zeros(run.ranked.shape, np.bool_)
    for row in range(len(run.queries)):
        known = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        marks[row] = np.isin(run.ranked[row], known)
    return np.asarray(marks & (run.ranked != NOTHING))


def condensed(run: Run, qrels: Qrels) -> Run:
    """The run without its unjudged documents."""
    return run.keep(judged_marks(run, qrels))


def write_pool(path: Path, results: Sequence[TaskResult], pool: Pool, depth: int) -> int:
    """Write the unjudged documents of all runs' first `depth`; returns how many there are."""
    count = 0
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as stream:
        stream.write("\t".join(HEADER) + "\n")
        for result in results:
            for query, text, row in _unjudged(result, depth):
                name, owners = result.task.qrels.documents[row], result.task.owners
                place = row if owners is None else int(owners[row])
                caption = pool.captions[place] if place < len(pool) else ""
                cells = (result.task.protocol, query, name, "", text, caption)
                stream.write("\t".join(cell.translate(_ONE_LINE) for cell in cells) + "\n")
                count += 1
    return count


def _unjudged(result: TaskResult, depth: int) -> Iterator[tuple[str, str, int]]:
    marks = [
        (run.ranked[:, :depth], judged_marks(run, result.task.qrels)[:, :depth])
        for run in result.runs.values()
    ]
    for row, topic in enumerate(result.task.topics):
        found = {
            int(document)
            for ranked, judged in marks
            for document in ranked[row][~judged[row]]
            if document != NOTHING
        }
        for document in sorted(found):
            yield topic.id, topic.text, document


def read_pool(path: Path) -> Grades:
    """Protocol -> query -> document -> grade, of the lines of a pool file that were judged.

    Raises EvaluationError naming the first line that is not of that form.
    """
    found: dict[str, dict[str, dict[str, int]]] = {}
    for place, line in read_lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        if tuple(cells) == HEADER:
            continue
        if len(cells) < 4:
            raise EvaluationError(f"{path}, line {place}: expected `{'<tab>'.join(HEADER)}`.")
        protocol, query, document, grade = cells[:4]
        if grade:
            rows = found.setdefault(protocol, {})
            add_grade(
                rows, (query, document), whole_number(grade, path, place), (path, place), None
            )
    if not found:
        raise EvaluationError(f"{path} has no judgement: fill in the column `grade`.")
    return found


def with_judgements(task: Task, grades: Mapping[str, Mapping[str, int]]) -> Task:
    """The task with further judgements of its own queries; a pair judged already stays.

    Raises EvaluationError if a query or a document is unknown.
    """
    judged = {query: dict(row) for query, row in task.qrels.to_mapping().items()}
    known = set(task.qrels.documents)
    strangers = [query for query in grades if query not in judged]
    lost = [d for row in grades.values() for d in row if d not in known]
    if strangers or lost:
        first = (strangers or lost)[0]
        raise EvaluationError(
            f"The judgements of {task.protocol} name {first!r}, which is not one of its queries "
            "or documents. Use the pool.tsv of this evaluation."
        )
    for query, row in grades.items():
        for document, grade in row.items():
            judged[query].setdefault(document, grade)
    return replace(task, qrels=Qrels.from_mapping(judged, task.qrels.documents))
