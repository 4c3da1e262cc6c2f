"""Relevance judgements of queries and documents: JSON lines, stored beside the corpus.

CORPUS.judgements.jsonl is next to the corpus folder, so that writing the corpus again does not
change it. Lines are never changed: the last one for a pair of query and document counts. A part of
a line at the end, which a power cut has left, was never confirmed and does not count.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from encoders.base.errors import UserError
from encoders.base.storage import sync_file, write_whole

__all__ = ["Judgement", "Judgements", "beside"]


@dataclass(frozen=True)
class Judgement:
    """One line. relevant: 0 (no), or a grade from 1 to 3. when: UTC, ISO 8601."""

    query: str
    document: str
    relevant: int
    who: str = ""
    when: str = ""


def beside(corpus: Path) -> Path:
    """The judgements file of a corpus."""
    return corpus.with_name(f"{corpus.absolute().name}.judgements.jsonl")


class Judgements:
    """The file, read again for each request, because other processes may write it too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, judgement: Judgement) -> Judgement:
        """Append a line with the time; return it."""
        written = Judgement(
            judgement.query,
            judgement.document,
            judgement.relevant,
            judgement.who,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        line = json.dumps(asdict(written), ensure_ascii=False) + "\n"
        with self._lock:
            new = not self.path.exists()
            with self._opened() as descriptor:
                _end_the_last_line(descriptor)
                os.write(descriptor, line.encode())  # one write, to the end
                os.fsync(descriptor)
            if new:
                sync_file(self.path.parent)
        return written

    def forget(self, documents: Collection[str]) -> int:
        """Remove the lines of these documents; return how many there were."""
        if not self.path.exists():
            return 0
        with self._lock, self._opened() as descriptor:
            _end_the_last_line(descriptor)
            lines = self.path.read_bytes().splitlines(keepends=True)
            numbered = enumerate(lines, 1)
            kept = [each for n, each in numbered if self._read(each, n).document not in documents]
            if len(kept) < len(lines):
                write_whole(self.path, b"".join(kept), secret=True)
        return len(lines) - len(kept)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file for this process alone; made for its owner: queries can tell of patients."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is(descriptor):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _is(self, descriptor: int) -> bool:
        """Whether it is still the file, and not what `forget` has replaced."""
        return self.path.exists() and os.path.samestat(os.fstat(descriptor), self.path.stat())

    def last(self) -> list[Judgement]:
        """The last judgement of each pair, in the order of first judgement.

        Raises UserError naming an invalid line.
        """
        if not self.path.exists():
            return []
        found: dict[tuple[str, str], Judgement] = {}
        lines = self.path.read_bytes().split(b"\n")
        if not _is_json(lines[-1]):
            lines.pop()
        for number, line in enumerate(lines, 1):
            if line.strip():
                judgement = self._read(line, number)
                found[judgement.query, judgement.document] = judgement
        return list(found.values())

    def topics(self) -> str:
        """The judged queries as `id<tab>text` lines, for `eval --topics`."""
        queries = dict.fromkeys(each.query for each in self.last())
        return "".join(f"{topic_id(query)}\t{' '.join(query.split())}\n" for query in queries)

    def qrels(self) -> str:
        """TREC qrels: `query 0 document grade` between tabs, the query by its id among the topics.

        With tabs an id may hold spaces, and is read back as it is.
        """
        judged = {(topic_id(each.query), each.document): each.relevant for each in self.last()}
        return "".join(f"{query}\t0\t{name}\t{grade}\n" for (query, name), grade in judged.items())

    def _read(self, line: bytes, number: int) -> Judgement:
        try:
            return Judgement(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise UserError(
                f"{self.path}, line {number} is not a judgement: correct or remove it."
            ) from None


def _end_the_last_line(descriptor: int) -> None:
    """Cut off what a power cut has left of a line; a whole one gets its missing line end."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    last = data.rpartition(b"\n")[2]
    if _is_json(last):
        os.write(descriptor, b"\n")
    elif last:
        os.ftruncate(descriptor, len(data) - len(last))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def topic_id(query: str) -> str:
    """A query's id in topics and qrels, where blanks are not allowed: the start of its SHA-256."""
    return hashlib.sha256(query.encode()).hexdigest()[:12]
