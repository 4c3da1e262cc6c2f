"""Draw splits that keep groups together.

- `source`: the splits are the source's own, and a record without one goes into train. A group
  that the source puts into several splits stays where it was put and is counted in the manifest.
- `drawn`: train, validation and test by shares of 80, 10 and 10 %. Records stand and fall
  together that share a group of any kind (patient, study, case, article), the bytes of an image,
  or a caption (but one put together from codes); a hash of the smallest key of such a cluster
  decides, so that the same records get the same splits on every machine. A cluster of more than
  2 % of the corpus goes to train, lest one stock phrase fill a test split, and the others' shares
  grow accordingly, to a quarter each at most. Of ten clusters or more that may be held out, each
  split gets at least one.

Unless told otherwise (`auto`), a source with any held-out split keeps its own, and one with
train only, or none, has them drawn.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal

from ingest.corpus.records import CorpusError, Record

__all__ = ["SplitRule", "Splits"]

SplitRule = Literal["source", "drawn"]

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1
LARGEST_SHARE = 0.25
LARGEST_HELD_OUT = 0.02
SMALL_CLUSTER = 8  # of a corpus so small that 2 % are nothing
ENOUGH_CLUSTERS = 10  # for a tenth of them to be one


@dataclass
class Splits:
    """Takes records in order; tells the split of each at the end."""

    given: list[str] = field(default_factory=list)
    _group_keys: list[str] = field(default_factory=list)
    _parent: list[int] = field(default_factory=list)
    _first_with: dict[bytes, int] = field(default_factory=dict)
    _more_groups: list[tuple[int, bytes]] = field(default_factory=list)  # row, hash of a key

    @property
    def groups(self) -> int:
        """Number of groups; a record without a group counts as one."""
        return len(set(self._group_keys))

    def add(self, record: Record) -> None:
        """Note what decides the split of the next record."""
        row = len(self.given)
        key = f"group:{record.group_id}" if record.group_id else f"id:{record.id}"
        self.given.append(record.split)
        self._group_keys.append(key)
        self._parent.append(row)
        for further in _group_keys(record, key):
            self._more_groups.append((row, _digest(further)))
            self._tie(_digest(further), row)
        for shared in _shared_keys(record, key):
            self._tie(_digest(shared), row)

    def rule(self, wanted: Literal["auto", "source", "drawn"]) -> SplitRule:
        """The rule to go by; raises CorpusError if the source's splits are wanted but absent."""
        if wanted == "source" and not any(self.given):
            raise CorpusError("The source has no splits: draw them instead.")
        if wanted != "auto":
            return wanted
        return "drawn" if set(self.given) <= {"", "train"} else "source"

    def assign(self, rule: SplitRule) -> list[str] | None:
        """The split of each record, or None if they keep those of the source."""
        if rule == "source":
            return None if all(self.given) else [split or "train" for split in self.given]
        members: defaultdict[int, list[int]] = defaultdict(list)
        for row in range(len(self._parent)):
            members[self._root(row)].append(row)
        splits = ["train"] * len(self._parent)
        largest = max(SMALL_CLUSTER, LARGEST_HELD_OUT * len(splits))
        eligible = [rows for rows in members.values() if len(rows) <= largest]
        growth = len(splits) / max(1, sum(map(len, eligible)))
        drawn = _draw([min(self._group_keys[row] for row in rows) for rows in eligible], growth)
        for rows, split in zip(eligible, drawn, strict=True):
            for row in rows:
                splits[row] = split
        return splits

    def groups_across(self, splits: list[str]) -> int:
        """Number of groups, of every kind, that stand in more than one split."""
        pairs: set[tuple[str | bytes, str]] = {(key, splits[row]) for row, key in self._more_groups}
        told = {row for row, _ in self._more_groups}
        pairs.update(
            (key, split)
            for row, (key, split) in enumerate(zip(self._group_keys, splits, strict=True))
            if row not in told
        )
        return sum(n > 1 for n in Counter(key for key, _ in pairs).values())

    def _tie(self, key: bytes, row: int) -> None:
        """Put the row with the first that had this key."""
        self._join(self._first_with.setdefault(key, row), row)

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def _join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        self._parent[max(one, other)] = min(one, other)


def _group_keys(record: Record, key: str) -> tuple[str, ...]:
    """All that ties the record to others, its patient included; nothing where that is one group."""
    patient = f"patient:{record.subject_id}"
    if not record.subject_id or patient in record.group_keys:
        return record.group_keys
    return (*(record.group_keys or (key,)), patient)


def _shared_keys(record: Record, group_key: str) -> list[str]:
    keys = [group_key]
    if record.caption and not record.stock_caption:
        keys.append(f"caption:{record.caption.casefold()}")
    if record.image is not None:
        keys.append(f"image:{record.image_sha256}")
    return keys


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=12).digest()


def _draw(keys: list[str], growth: float) -> list[str]:
    """The split of each cluster, by a hash of its key."""
    hashes = [hashlib.sha256(key.encode()).digest()[:8] for key in keys]
    numbers = [int.from_bytes(digest, "big") / 2**64 for digest in hashes]
    test = min(TEST_SHARE * growth, LARGEST_SHARE)
    held_out = test + min(VALIDATION_SHARE * growth, LARGEST_SHARE)
    splits = [_split_at(number, test, held_out) for number in numbers]
    if len(splits) >= ENOUGH_CLUSTERS:
        lowest = sorted(range(len(numbers)), key=lambda cluster: (numbers[cluster], keys[cluster]))
        # The lowest numbers are those of test, then of validation: whichever is empty moves in.
        if "test" not in splits:
            splits[lowest[0]] = "test"
        if "validation" not in splits:
            splits[lowest[min(splits.count("test"), len(lowest) - 1)]] = "validation"
    return splits


def _split_at(number: float, test: float, held_out: float) -> str:
    if number < test:
        return "test"
    return "validation" if number < held_out else "train"
