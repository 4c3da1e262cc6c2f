"""The ledger: what a target has confirmed, one SQLite file per corpus and target.

A row is written when the target has confirmed the operation, and not before; what is about to
change is in doubt from before it is sent, and that is on disk. So after a kill or a power cut the
ledger knows at most too little, and a feed that runs again sends exactly what is missing.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from encoders.base.errors import UserError
from encoders.base.storage import make_folder, open_private, sync_file, write_whole

__all__ = ["SLICE", "Known", "Ledger", "LedgerError"]

FORMAT = 1
BUSY_SECONDS = 30.0
CHECKPOINT_PAGES = 10_000  # 40 MB: merging the log into the file waits for the disk
SLICE = 500  # ids in one look-up; SQLite's limit on variables is 999 in old versions

TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL,  -- hash of all fields but the vectors, '' refused or in doubt
    vectors TEXT NOT NULL,  -- JSON: hash of the vector by the encoder's fingerprint
    status TEXT NOT NULL,   -- 'fed', 'refused' or 'doubt'
    message TEXT NOT NULL   -- the target's reason for a refusal
) WITHOUT ROWID;
CREATE TEMP TABLE noted (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class LedgerError(UserError):
    """The ledger cannot be read, or belongs to another target."""


@dataclass(frozen=True)
class Known:
    """What the target holds of a document: content hash, and vector hash by fingerprint."""

    content: str
    vectors: Mapping[str, str] = field(default_factory=dict)


class Ledger:
    """Opens or makes the ledger at `path` for `target`. Use it in `with`, or close it.

    content: what tells one content of the target from another, "" if it has no such id. A
    ledger of an older content is cleared: `restarted` says so.
    """

    def __init__(self, path: Path, target: str, content: str = "") -> None:
        self.path, self.target = path, target
        self.restarted = False
        make_folder(path.parent)
        if not path.exists():  # SQLite gives its other files the mode of this one
            os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))
            sync_file(path.parent)
        with _told(path):
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            # Readers and the writer do not wait for each other, and a commit is one write
            # without a sync: it survives a kill; a power cut may cost what was confirmed last.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            # What is deleted is overwritten: a removed patient's ids are not left in free pages.
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.executescript(TABLES)
            self._claim(target, content)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """What is known of these ids (at most 500); those that the target lacks are left out."""
        marks = ",".join("?" * len(ids))
        rows = self._run(
            f"SELECT id, content, vectors FROM documents WHERE content <> '' AND id IN ({marks})",  # noqa: S608  (marks only)
            ids,
        )
        with _told(self.path):
            return {identifier: Known(content, json.loads(v)) for identifier, content, v in rows}

    def put(self, identifier: str, content: str, vectors: Mapping[str, str]) -> None:
        """The target holds this document with these vectors and no others."""
        self._run(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, 'fed', '')",
            (identifier, content, json.dumps(vectors)),
        )

    def put_all(self, held: Iterable[tuple[str, str, Mapping[str, str]]]) -> None:
        """The target holds all these: (id, content, vectors)."""
        with self._transaction():
            for each in held:
                self.put(*each)

    def update(self, identifier: str, content: str, vectors: Mapping[str, str]) -> None:
        """The target has set these vectors of the document, and left all else as it was."""
        self._run(
            "UPDATE documents SET content = ?, vectors = json_patch(vectors, ?), status = 'fed', "
            "message = '' WHERE id = ?",
            (content, json.dumps(vectors), identifier),
        )

    def doubt(self, identifiers: Iterable[str]) -> None:
        """These are about to be changed: nothing is known of them, even after a power cut."""
        self._run("PRAGMA synchronous = FULL")
        with self._transaction():
            self._connection.executemany(
                "UPDATE documents SET content = '', status = 'doubt' WHERE id = ?",
                ((identifier,) for identifier in identifiers),
            )
        self._run("PRAGMA synchronous = NORMAL")

    def refuse(self, identifier: str, message: str) -> None:
        """The target has refused the document; it is tried again by the next feed."""
        self._run(
            "INSERT OR REPLACE INTO documents VALUES (?, '', '{}', 'refused', ?)",
            (identifier, message),
        )

    def forget(self, identifiers: Iterable[str]) -> None:
        """The target does not hold these documents."""
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM documents WHERE id = ?", ((identifier,) for identifier in identifiers)
            )

    @classmethod
    def at(cls, path: Path) -> Ledger:
        """Open a ledger for the target that it is kept for."""
        with _told(path), closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            about = dict(connection.execute("SELECT name, value FROM about"))
        return cls(path, str(about.get("target")), str(about.get("content", "")))

    def holding(self, ids: Iterable[str]) -> list[str]:
        """Which of these ids it has, refused ones too."""
        self.note(ids)
        return self._ids("SELECT id FROM documents WHERE id IN noted ORDER BY id")

    def fingerprints(self) -> list[str]:
        """The encoders whose vectors the target holds."""
        return self._ids("SELECT DISTINCT key FROM documents, json_each(vectors) ORDER BY key")

    def sample(self, count: int) -> list[str]:
        """Ids drawn by chance of documents that the target holds."""
        return self._ids(
            f"SELECT id FROM documents WHERE content <> '' ORDER BY random() LIMIT {int(count)}"  # noqa: S608
        )

    def count(self) -> int:
        """Documents that the target holds."""
        ((number,),) = self._run("SELECT count(*) FROM documents WHERE content <> ''")
        return int(number)

    def note(self, ids: Iterable[str]) -> int:
        """Keep `ids` aside, on disk, for the next three; return how many they are."""
        with self._transaction():
            self._run("DELETE FROM noted")
            self._connection.executemany(
                "INSERT OR IGNORE INTO noted VALUES (?)", ((identifier,) for identifier in ids)
            )
        ((number,),) = self._run("SELECT count(*) FROM noted")
        return int(number)

    def not_noted(self) -> list[str]:
        """Ids that the ledger has, refused ones too, and that were not noted."""
        return self._ids("SELECT id FROM documents WHERE id NOT IN noted ORDER BY id")

    def held_not_noted(self) -> list[str]:
        """The same without the refused ones."""
        return self._ids(
            "SELECT id FROM documents WHERE content <> '' AND id NOT IN noted ORDER BY id"
        )

    def noted_only(self) -> list[str]:
        """Noted ids that the ledger has not."""
        return self._ids(
            "SELECT id FROM noted WHERE id NOT IN (SELECT id FROM documents) ORDER BY id"
        )

    def write_dead_letters(self, path: Path) -> int:
        """Write what was refused and why, one JSON object a line; return how many there are."""
        rows = self._run("SELECT id, message FROM documents WHERE status = 'refused' ORDER BY id")
        if not rows:
            path.unlink(missing_ok=True)
            return 0
        lines = (json.dumps({"id": i, "message": m}, ensure_ascii=False) for i, m in rows)
        write_whole(path, "".join(f"{line}\n" for line in lines))
        return len(rows)

    def _claim(self, target: str, content: str) -> None:
        expected = {"format": str(FORMAT), "target": target}
        given = {**expected, "content": ""}
        self._connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", given.items())
        found = dict(self._run("SELECT name, value FROM about"))
        of = found.pop("content")
        if found != expected:
            self._connection.close()
            raise LedgerError(
                f"{self.path} is the ledger of {found.get('target')} (format "
                f"{found.get('format')}), not of {target}: name another one with --ledger."
            )
        if of != content:
            self.restarted = self.count() > 0
            with self._transaction():
                self._run("DELETE FROM documents")
                self._run("UPDATE about SET value = ? WHERE name = 'content'", [content])

    def _ids(self, query: str) -> list[str]:
        return [identifier for (identifier,) in self._run(query)]

    def _run(self, statement: str, values: Sequence[str] = ()) -> list[Any]:
        """The rows of a statement, all of them: SQLite finds damage as it reads on."""
        with _told(self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:  # a damaged row may hold NULL
        if not os.access(path, os.R_OK | os.W_OK) and path.exists():
            raise LedgerError(
                f"{path} cannot be read and written for lack of permission: ask its owner."
            ) from None
        raise LedgerError(
            f"{path} cannot be used as a ledger ({error}): delete it, and everything is fed again."
        ) from None
