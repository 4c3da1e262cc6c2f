"""A user's own topics and judgements, in TREC's files or BEIR's layout.

    topics     `id<tab>text` lines; TREC's <top> blocks (num, title); or BEIR's queries.jsonl
    judgements TREC's four columns, or BEIR's three with a header
    a folder   BEIR: queries.jsonl and qrels/*.tsv (test.tsv where it is there)

Document ids are those of the corpus.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from eval.protocols.tasks import Task, Topic, left_out_notes
from eval.search.pool import Pool
from eval.search.runs import EvaluationError, Qrels
from eval.search.trec import read_qrels

__all__ = ["OWN_TOPICS", "own_task", "read_beir_qrels", "read_judgements", "read_topics"]

OWN_TOPICS = "own-topics"

_TOP = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*(?:Topic:)?\s*([^<]+)", re.IGNORECASE)


def own_task(pool: Pool, topics: Path, qrels: Path | None = None) -> Task:
    """The task of a topics file and its judgements; `topics` may be a BEIR folder.

    Only judged topics are asked. Judged documents that are not indexed cannot be found, and
    count all the same. Raises EvaluationError where a file is at fault or nothing fits.
    """
    if topics.is_dir():
        topics, qrels = topics / "queries.jsonl", qrels or _beir_qrels(topics)
    if qrels is None:
        raise EvaluationError(f"{topics} needs judgements beside it: name a qrels file as well.")
    texts, judged = read_topics(topics), read_judgements(qrels)
    asked = {
        name: judged[name] for name in texts if any(g > 0 for g in judged.get(name, {}).values())
    }
    indexed = set(pool.ids)
    if not any(indexed.intersection(row) for row in asked.values()):
        raise EvaluationError(
            f"No judged document of {qrels} is in the index. Ids must be those of the corpus."
        )
    strangers = len({name for row in asked.values() for name in row} - indexed)
    missing = f"{strangers} judged documents are not in the index."
    return Task(
        protocol=OWN_TOPICS,
        description=f"The topics of {topics.name}, judged by {qrels.name}.",
        topics=tuple(Topic(name, texts[name]) for name in asked),
        qrels=Qrels.from_mapping(asked, pool.ids),
        notes=(
            *left_out_notes(
                {
                    "no relevant document is judged": len(texts) - len(asked),
                    "judged, but not among the topics": len(judged.keys() - texts.keys()),
                }
            ),
            *((missing,) if strangers else ()),
        ),
    )


def read_topics(path: Path) -> dict[str, str]:
    """Topic id -> text, in the order of the file."""
    text = _text(path)
    if path.suffix == ".jsonl":
        return dict(_json_topic(line, path, n) for n, line in _lines(text))
    if _TOP.search(text):
        return dict(_block(block, path) for block in _TOP.findall(text))
    found = {}
    for number, line in _lines(text):
        name, tab, topic = line.partition("\t")
        if not tab or not topic.strip():
            raise EvaluationError(f"{path}, line {number}: expected `id<tab>text`.")
        found[name.strip()] = topic.strip()
    return found


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Query -> document -> grade, of a TREC or a BEIR file."""
    first = next((line for _, line in _lines(_text(path))), "")
    return read_beir_qrels(path) if len(first.split("\t")) == 3 else read_qrels(path)


def read_beir_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query -> document -> grade, from `query-id<tab>corpus-id<tab>score` below a header."""
    judged: dict[str, dict[str, int]] = {}
    for number, line in list(_lines(_text(path)))[1:]:
        columns = line.split("\t")
        if len(columns) != 3 or not columns[2].strip().lstrip("-").isdigit():
            raise EvaluationError(
                f"{path}, line {number}: expected `query-id<tab>corpus-id<tab>score`."
            )
        query, document, grade = (column.strip() for column in columns)
        judged.setdefault(query, {})[document] = int(grade)
    return judged


def _beir_qrels(folder: Path) -> Path:
    found = sorted((folder / "qrels").glob("*.tsv"))
    test = folder / "qrels" / "test.tsv"
    if not found:
        raise EvaluationError(f"{folder} is not in BEIR's layout: it has no qrels/*.tsv.")
    return test if test in found else found[0]


def _json_topic(line: str, path: Path, number: int) -> tuple[str, str]:
    try:
        content = json.loads(line)
        return str(content["_id"]), str(content["text"])
    except (ValueError, KeyError, TypeError):
        raise EvaluationError(
            f"{path}, line {number}: expected an object with `_id` and `text`."
        ) from None


def _block(block: str, path: Path) -> tuple[str, str]:
    number, title = _NUMBER.search(block), _TITLE.search(block)
    if not number or not title:
        raise EvaluationError(
            f"{path}: a <top> has no <num> or no <title>: {block.strip()[:60]!r}."
        )
    return number[1], " ".join(title[1].split())


def _lines(text: str) -> list[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
