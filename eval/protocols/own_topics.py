"""A user's own topics and judgements, in TREC or BEIR format.

    topics     `id<tab>text` lines; TREC's <top> blocks (num, title); or BEIR's queries.jsonl
    judgements TREC's four columns, or BEIR's three with or without a header
    a folder   BEIR: queries.jsonl and qrels/*.tsv (test.tsv where it is there)

Document ids are those of the corpus, taken as they stand. Every file is read right or refused with
its line; what is left out is counted in the task's notes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from eval.collection.line_reader import columns_of, read_lines, read_text, whole_number
from eval.collection.pool import Pool
from eval.collection.runs import EvaluationError, Qrels
from eval.collection.trec import KnownIds, add_grade, read_qrels
from eval.protocols.tasks import GRADED, KNOWN_ITEM, Task, Topic, left_out_notes

__all__ = ["OWN_TOPICS", "own_task", "read_beir_qrels", "read_judgements", "read_topics"]

OWN_TOPICS = "own-topics"

_TOP = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*(?:Topic:)?\s*([^<]+)", re.IGNORECASE)
_GRADE = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|[-+]?inf(inity)?|nan", re.IGNORECASE)

Judged = dict[str, dict[str, int]]


def own_task(pool: Pool, topics: Path, qrels: Path | None = None) -> Task:
    """The task of a topics file and its judgements; `topics` may be a BEIR folder.

    Only judged topics are asked. Judged documents that are not searched cannot be found, and
    count all the same. Raises EvaluationError if a file is at fault or nothing fits.
    """
    if topics.is_dir():
        topics, qrels = topics / "queries.jsonl", qrels or _beir_qrels(topics)
    if qrels is None:
        raise EvaluationError(f"{topics} needs judgements: name a qrels file with --qrels.")
    repeated: list[str] = []
    texts = read_topics(topics, repeated)
    twice: list[str] = []
    judged = read_judgements(qrels, (*texts, *pool.ids), twice)
    asked = {
        name: judged[name] for name in texts if any(g > 0 for g in judged.get(name, {}).values())
    }
    if not asked and any(judged.get(name) for name in texts):
        raise EvaluationError(
            f"{qrels} judges no document relevant: every grade of its topics is 0 or less."
        )
    indexed = set(pool.ids)
    if not any(indexed.intersection(row) for row in asked.values()):
        raise EvaluationError(
            f"No judged document of {qrels} is in the index. Ids must be those of the corpus."
        )
    strangers = len({name for row in asked.values() for name in row} - indexed)
    graded = any(grade > 1 for row in asked.values() for grade in row.values())
    said = {
        f"{strangers} judged documents are not in the index.": strangers,
        f"{len(repeated)} lines of {topics.name} repeat another one.": len(repeated),
        f"{len(twice)} lines of {qrels.name} repeat another one.": len(twice),
    }
    return Task(
        protocol=OWN_TOPICS,
        description=f"The topics of {topics.name}, judged by {qrels.name}.",
        topics=tuple(Topic(name, texts[name]) for name in asked),
        qrels=Qrels.from_mapping(asked, pool.ids),
        metric=GRADED if graded else KNOWN_ITEM,
        notes=(
            *left_out_notes(
                {
                    "no relevant document is judged": len(texts) - len(asked),
                    "judged, but not among the topics": len(judged.keys() - texts.keys()),
                }
            ),
            *(note for note, count in said.items() if count),
        ),
    )


def read_topics(path: Path, repeated: list[str] | None = None) -> dict[str, str]:
    """Topic id -> text, in the order of the file.

    A topic that is there twice with the same text is told in `repeated`; with another text the
    file is refused.
    """
    if path.suffix == ".jsonl":
        pairs = [(place, *_json_topic(line, path, place)) for place, line in read_lines(path)]
    elif _TOP.search(text := read_text(path)):
        pairs = [(0, *_block(block, path)) for block in _TOP.findall(text)]
    else:
        pairs = [(place, *_line_topic(line, path, place)) for place, line in read_lines(path)]
    found: dict[str, str] = {}
    for place, name, text in pairs:
        if name in found:
            if found[name] != text:
                where = f"{path}, line {place}" if place else str(path)
                raise EvaluationError(f"{where}: topic {name!r} occurs twice with different texts.")
            if repeated is not None:
                repeated.append(name)
        found[name] = text
    return found


def read_judgements(
    path: Path, known: tuple[str, ...] = (), repeated: list[str] | None = None
) -> Judged:
    """Query -> document -> grade, of a TREC or a BEIR file."""
    first = next((line for _, line in read_lines(path)), "")
    if len(first.split("\t")) == 3:
        return read_beir_qrels(path, known, repeated)
    return read_qrels(path, known, repeated)


def read_beir_qrels(
    path: Path, known: tuple[str, ...] = (), repeated: list[str] | None = None
) -> Judged:
    """Query -> document -> grade, from `query-id<tab>corpus-id<tab>score`, a header or none."""
    ids = KnownIds(known)
    judged: Judged = {}
    form = "query-id<tab>corpus-id<tab>score"
    for count, (place, line) in enumerate(read_lines(path)):
        query, document, grade = columns_of(line, 3, path, place, form)
        if count == 0 and not _GRADE.fullmatch(grade):
            continue  # the header
        pair = ids.resolve(query), ids.resolve(document)
        add_grade(judged, pair, whole_number(grade, path, place), (path, place), repeated)
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
        name, text = content["_id"], content["text"]
        if not isinstance(text, str) or not text.strip() or isinstance(name, dict | list):
            raise TypeError
        return str(name), text.strip()
    except (ValueError, KeyError, TypeError):
        raise EvaluationError(
            f"{path}, line {number}: expected an object with `_id` and `text`."
        ) from None


def _line_topic(line: str, path: Path, number: int) -> tuple[str, str]:
    name, tab, topic = line.partition("\t")
    if not tab or not topic.strip() or not name.strip():
        raise EvaluationError(f"{path}, line {number}: expected `id<tab>text`.")
    return name.strip(), topic.strip()


def _block(block: str, path: Path) -> tuple[str, str]:
    number, title = _NUMBER.search(block), _TITLE.search(block)
    if not number or not title:
        raise EvaluationError(
            f"{path}: a <top> has no <num> or no <title>: {block.strip()[:60]!r}."
        )
    return number[1], " ".join(title[1].split())
