"""Keyed pseudonyms, and the mapping back for the owner of the key.

    FILE            the key: 64 hex digits, mode 600
    FILE.sources    SQLite, mode 600: which file, frame and subject each record's id is of

A pseudonym is an HMAC (RFC 2104, SHA-256) of a UID or a patient's id: without the key nobody can
tell, not even by trying all ids, whose it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from encoders.base.storage import write_whole
from ingest.corpus.records import CorpusError

__all__ = ["Pseudonyms", "Stored"]

DIGITS = 16
KEY = re.compile(r"[0-9a-f]{64}")
SUBJECT = "patient"
PSEUDONYM = re.compile(rf"{SUBJECT}-[0-9a-f]{{{DIGITS}}}")


@dataclass(frozen=True)
class Stored:
    """Where a record is from. frame: from 1, 0 of a file of one frame. study ...: its UIDs."""

    id: str
    file: str
    frame: int
    subject: str
    study: str = ""
    series: str = ""
    instance: str = ""


@dataclass(frozen=True)
class Pseudonyms:
    """Names things under `key`; without one (b"") a name hides nothing from who can guess."""

    key: bytes = b""
    path: Path | None = None

    @classmethod
    def at(cls, path: Path, *, made: bool = False) -> Pseudonyms:
        """The key in the file `path`; made: make one where there is none.

        Raises CorpusError if there is none, or no key.
        """
        if not path.exists():
            if not made:
                raise CorpusError(f"There is no key at {path}: name the key file of the corpus.")
            write_whole(path, secrets.token_hex(32) + "\n", secret=True)
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if not KEY.fullmatch(text):
            raise CorpusError(
                f"{path} is not a key file: it must have 64 hex digits, as written by `rocosearch "
                "corpus`."
            )
        if path.stat().st_mode & 0o077:
            raise CorpusError(f"Other users can read {path}: run chmod 600 {path}.")
        return cls(bytes.fromhex(text), path)

    def of(self, kind: str, value: str) -> str:
        """`kind` and 16 hex digits, the same for the same value and key; "" of no value."""
        if not value:
            return ""
        message = f"{kind}:{value}".encode("utf-8", "replace")
        return f"{kind}-{hmac.new(self.key, message, hashlib.sha256).hexdigest()[:DIGITS]}"

    def subject(self, patient: str) -> str:
        """The subject_id of a patient, named by id or by pseudonym."""
        return patient if PSEUDONYM.fullmatch(patient) else self.of(SUBJECT, patient.strip())

    def note(self, stored: Iterable[Stored]) -> None:
        """Keep where records are from; nothing without a key's file."""
        if self.path is not None:
            with self._sources() as database:
                rows = [astuple(one) for one in stored]
                marks = ", ".join("?" * len(fields(Stored)))
                database.executemany(f"INSERT OR REPLACE INTO source VALUES ({marks})", rows)  # noqa: S608

    def source(self, identifier: str) -> Stored | None:
        """Where a record is from, None if it was not read under this key."""
        with self._sources() as database:
            row = database.execute("SELECT * FROM source WHERE id = ?", (identifier,)).fetchone()
        return Stored(*row) if row else None

    def sources_of(self, subject: str) -> list[Stored]:
        """Where the records of a subject are from."""
        with self._sources() as database:
            rows = database.execute("SELECT * FROM source WHERE subject = ?", (subject,)).fetchall()
        return [Stored(*row) for row in rows]

    def forget(self, subject: str) -> int:
        """Forget which files are a subject's; returns how many records they were."""
        with self._sources() as database:
            database.execute("PRAGMA secure_delete = ON")
            return database.execute("DELETE FROM source WHERE subject = ?", (subject,)).rowcount

    @contextmanager
    def _sources(self) -> Iterator[sqlite3.Connection]:
        path = Path(f"{self.path}.sources")
        path.touch(mode=0o600)
        database = sqlite3.connect(path)
        try:
            database.execute(
                "CREATE TABLE IF NOT EXISTS source "
                "(id TEXT PRIMARY KEY, file TEXT, frame INTEGER, subject TEXT, "
                "study TEXT, series TEXT, instance TEXT)"
            )
            yield database
            database.commit()
        except sqlite3.DatabaseError:
            raise CorpusError(f"{path} is damaged: read the corpus again.") from None
        finally:
            database.close()
