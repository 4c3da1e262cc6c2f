"""seen.parquet: hashes of all pairs that an encoder was trained and validated on.

    role     "trained", or "validated": what chose the epoch
    kind     "image" (sha256 of the file), "look" (perceptual hash), "caption", "shingle" (three
             words), "group" or "subject"
    owner    the number of the pair that it is of
    hash     64 bits

Texts and ids are hashed under a key drawn for each record and kept with it, so that no table
made beforehand reads them back; who guesses a text can confirm it, so the record stays beside
the encoder and goes into no index and no application package. A further stage of training joins
its pairs to those of the stage before (`Record.joined`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.parquet import check_footer, write_parquet
from encoders.base.storage import SEEN, whole_file

__all__ = ["SEEN", "SHINGLE", "Record", "Seen", "SeenError", "hashed", "shingles"]

SHINGLE = 3  # words
KINDS = ("image", "look", "caption", "shingle", "group", "subject")
FORMAT = b"1"

Hashes = NDArray[np.uint64]
Owners = NDArray[np.int64]


class SeenError(UserError):
    """A record of what was trained on is damaged, or of a format that is not known."""


@dataclass(frozen=True)
class Seen:
    """Hashes of pairs: kind -> owners and hashes, int64 and uint64 [n] each.

    `key` is what texts and ids are hashed under.
    """

    key: bytes
    parts: Mapping[str, tuple[Owners, Hashes]]

    @classmethod
    def of(
        cls,
        *,
        images: Sequence[str],
        looks: Sequence[str],
        captions: Sequence[str],
        groups: Sequence[str],
        subjects: Sequence[str] = (),
        key: bytes = b"",
    ) -> Seen:
        """From columns with one entry a pair, "" for what it has not.

        images: hex sha256 of the files. looks: 16 hex digits. captions: normalised, words between
        single spaces. groups, subjects: ids of cases or articles, and of patients.
        """
        key = key or secrets.token_bytes(16)
        columns: dict[str, Iterable[Iterable[int]]] = {
            "image": ([int(t[:16], 16)] if t else [] for t in images),
            "look": ([int(t, 16)] if t else [] for t in looks),
            "caption": ([hashed(key, t)] if t else [] for t in captions),
            "shingle": ([hashed(key, s) for s in shingles(t)] for t in captions),
            "group": ([hashed(key, t)] if t else [] for t in groups),
            "subject": ([hashed(key, t)] if t else [] for t in subjects),
        }
        return cls(key, {kind: _flat(rows) for kind, rows in columns.items()})

    def has(self, kind: str, values: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these captions (normalised), groups or subjects were seen, bool [values]."""
        known = set(self.parts[kind][1].tolist())
        return np.array([bool(v) and hashed(self.key, v) in known for v in values], np.bool_)

    def has_image(self, files: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these files (hex sha256, "" for none) were seen, bool [files]."""
        known = set(self.parts["image"][1].tolist())
        return np.array([bool(t) and int(t[:16], 16) in known for t in files], np.bool_)

    @property
    def looks(self) -> Hashes:
        """The distinct perceptual hashes."""
        return np.unique(self.parts["look"][1])

    @property
    def pairs(self) -> int:
        """How many pairs were seen."""
        return 1 + max((int(o.max()) for o, _ in self.parts.values() if len(o)), default=-1)


@dataclass(frozen=True)
class Record:
    """All that an encoder was made with, in whatever stage."""

    trained: Seen
    validated: Seen

    def joined(self, later: Record) -> Record:
        """With what a further stage saw, which must be hashed under the same key."""
        return Record(
            _joined(self.trained, later.trained), _joined(self.validated, later.validated)
        )

    def write(self, path: Path) -> None:
        """Write the record; the file is whole or not there."""
        roles = {"trained": self.trained, "validated": self.validated}
        rows = [(role, kind, *seen.parts[kind]) for role, seen in roles.items() for kind in KINDS]
        counts = [len(owners) for _, _, owners, _ in rows]
        table = pa.table(
            {
                "role": _repeated([role for role, _, _, _ in rows], counts),
                "kind": _repeated([kind for _, kind, _, _ in rows], counts),
                "owner": np.concatenate([owners for _, _, owners, _ in rows]),
                "hash": np.concatenate([hashes for _, _, _, hashes in rows]),
            }
        )
        key = self.trained.key.hex().encode()
        with whole_file(path) as beside:
            write_parquet(table.replace_schema_metadata({"format": FORMAT, "key": key}), beside)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record; raises SeenError if the file is none."""
        try:
            with readable(path, SeenError):
                check_footer(path)
            table = pq.read_table(path, page_checksum_verification=True)
            told: dict[bytes, Any] = table.schema.metadata or {}
            if told.get(b"format") != FORMAT:
                raise SeenError(
                    f"{path} is of a format that this version does not read "
                    f"({told.get(b'format')!r}): train the encoder again."
                )
            key = bytes.fromhex(told[b"key"].decode())
            roles = np.array(table["role"].to_pylist(), dtype=object)
            kinds = np.array(table["kind"].to_pylist(), dtype=object)
            owners, hashes = table["owner"].to_numpy(), table["hash"].to_numpy()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            reason = plain_reason(error).partition("\n")[0]
            raise SeenError(f"{path} cannot be read as a record of training: {reason}") from None

        def part(role: str) -> Seen:
            marks = {kind: (roles == role) & (kinds == kind) for kind in KINDS}
            return Seen(key, {kind: (owners[m], hashes[m]) for kind, m in marks.items()})

        return cls(part("trained"), part("validated"))


def shingles(text: str) -> list[str]:
    """The distinct runs of three words of a normalised text, in order.

    >>> shingles("axial ct of the lung")
    ['axial ct of', 'ct of the', 'of the lung']
    """
    words = text.split()
    runs = (" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1))
    return list(dict.fromkeys(runs))


def hashed(key: bytes, text: str) -> int:
    """64 bits of the text under the key."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=key).digest(), "little")


def _flat(rows: Iterable[Iterable[int]]) -> tuple[Owners, Hashes]:
    pairs = [(owner, value) for owner, row in enumerate(rows) for value in row]
    owners = np.fromiter((owner for owner, _ in pairs), np.int64, len(pairs))
    return owners, np.fromiter((value for _, value in pairs), np.uint64, len(pairs))


def _repeated(values: Sequence[str], counts: Sequence[int]) -> pa.Array:
    places = pa.array(np.repeat(np.arange(len(values)), counts), pa.int32())
    return pa.DictionaryArray.from_arrays(places, pa.array(values)).cast(pa.string())


def _joined(first: Seen, later: Seen) -> Seen:
    if first.key != later.key:
        raise ValueError("Stages are joined under one key: pass the first stage's to Seen.of.")
    parts = {}
    for kind in KINDS:
        (owners, hashes), (more, others) = first.parts[kind], later.parts[kind]
        parts[kind] = (
            np.concatenate([owners, more + first.pairs]),
            np.concatenate([hashes, others]),
        )
    return Seen(first.key, parts)
