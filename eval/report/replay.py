"""The runs/ folder: files for evaluating another system on the same tasks.

PROTOCOL.topics.tsv     query<tab>text (an image that asks has no text: its id is the query)
PROTOCOL.qrels          TREC judgements
PROTOCOL.excluded.tsv   query<tab>document: taken out of the results, where there are any
PROTOCOL.NAME.trec      our runs
documents.tsv           document<tab>caption: what is searched
replay.json             how to use them, and the sha256 of each
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from encoders.base.storage import sha256_file, whole_file
from eval.collection.trec import encoded, write_qrels, write_run
from eval.measure.results import TaskResult
from eval.protocols.tasks import Task
from eval.report.evaluation import Evaluation

__all__ = ["REPLAY", "write_runs"]

REPLAY = "replay.json"
HOW = (
    "Search documents.tsv (for indexed `second-half`: of each caption the words after the first "
    "floor(n/2), split at white space; for `caption vectors`, the captions' vectors) with each "
    "topic, leave the topic's excluded documents out, and write PROTOCOL.NAME.trec. Then "
    "`rocosearch eval INDEX CORPUS OUT --run PROTOCOL.NAME.trec` judges it beside ours. "
    "White space, quotes and % in ids are percent-encoded."
)


def write_runs(evaluation: Evaluation, folder: Path) -> dict[str, str]:
    """Write the folder; returns the sha256 of each of its files, for provenance."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as threads:  # the writing is Arrow's, outside of Python's lock
        writing = [
            threads.submit(write_run, folder / f"{result.task.protocol}.{name}.trec", run, name)
            for result in evaluation.tasks
            for name, run in ((file_name(p), run) for p, run in result.runs.items())
        ]
        for result in evaluation.tasks:
            _write_task(result.task, folder)
        pairs = zip(evaluation.pool.ids, evaluation.pool.captions, strict=True)
        _write_lines(folder / "documents.tsv", ((encoded(i), _flat(c)) for i, c in pairs))
        for each in writing:
            each.result()
    hashes = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    content = {
        "how": HOW,
        "tasks": [_told(result, hashes) for result in evaluation.tasks],
        "sha256": hashes,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (folder / REPLAY).write_text(text + "\n", encoding="utf-8")
    return hashes


def _told(result: TaskResult, hashes: dict[str, str]) -> dict[str, Any]:
    task = result.task
    indexed = "caption" if task.texts is None else "second-half"
    excluded = f"{task.protocol}.excluded.tsv"
    return {
        "protocol": task.protocol,
        "description": task.description,
        "asks": task.asks,
        "indexed": {"captions": "caption vectors", "frames": "frames"}.get(task.vectors, indexed),
        "hidden": any(topic.hidden for topic in task.topics),
        "metric": result.metric,
        "topics": f"{task.protocol}.topics.tsv",
        "qrels": f"{task.protocol}.qrels",
        "excluded": excluded if excluded in hashes else None,
        "runs": {name: f"{task.protocol}.{file_name(name)}.trec" for name in result.runs},
    }


def _write_task(task: Task, folder: Path) -> None:
    write_qrels(folder / f"{task.protocol}.qrels", task.qrels)
    topics = ((encoded(topic.id), _flat(topic.text)) for topic in task.topics)
    _write_lines(folder / f"{task.protocol}.topics.tsv", topics)
    if any(topic.excluded for topic in task.topics):
        documents = [encoded(name) for name in task.qrels.documents]
        pairs = (
            (encoded(topic.id), documents[row]) for topic in task.topics for row in topic.excluded
        )
        _write_lines(folder / f"{task.protocol}.excluded.tsv", pairs)


def _write_lines(path: Path, pairs: Iterator[tuple[str, str]]) -> None:
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{first}\t{second}\n" for first, second in pairs)


def _flat(text: str) -> str:
    return " ".join(text.split())


def file_name(profile: str) -> str:
    """A ranking's name as part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in profile)
