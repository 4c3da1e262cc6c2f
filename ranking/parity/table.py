"""Comparisons summed up by file and kind of query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from encoders.errors import UserError
from ranking.parity.compare import Comparison, compare
from ranking.parity.records import Collection, read_records
from ranking.parity.replay import Skipped, make_replay

__all__ = ["Row", "measure", "to_text"]


@dataclass
class Row:
    """One kind of query of one file.

    exact: records whose hits must be the same; the others are approximate in Vespa (weakAnd,
    HNSW). tied: exact ones whose order Vespa itself leaves open. faults: record id -> sentences.
    values, apart: as `Comparison` has them, summed.
    """

    file: str
    kind: str
    compared: int = 0
    exact: int = 0
    tied: int = 0
    approximations: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    differences: dict[str, float] = field(default_factory=dict)
    overlaps: dict[int, list[float]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    values: int = 0
    apart: int = 0

    def add(self, identifier: str, found: Comparison) -> None:
        """Count one comparison in."""
        self.compared += 1
        for name, value in found.differences.items():
            self.differences[name] = max(self.differences.get(name, 0.0), value)
        for cut, value in found.overlap.items():
            self.overlaps.setdefault(cut, []).append(value)
        self.tied += found.ties
        self.values += found.values
        self.apart += found.apart
        if found.faults:
            self.faults[identifier] = found.faults

    def overlap(self, cut: int) -> float | None:
        """Mean share of Vespa's best `cut` hits that are among ours."""
        values = self.overlaps.get(cut)
        return sum(values) / len(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "file": self.file,
            "kind": self.kind,
            "compared": self.compared,
            "exact": self.exact,
            "tied": self.tied,
            "values": self.values,
            "ranked_apart": self.apart,
            "approximations": dict(self.approximations),
            "skipped": dict(self.skipped),
            "largest_difference": self.differences,
            "overlap@10": self.overlap(10),
            "overlap@100": self.overlap(100),
            "faults": self.faults,
        }


def measure(collections: Iterable[Collection]) -> Iterator[Row]:
    """Answer every record of the collections; yield a row for each file and kind."""
    for collection in collections:
        for name, path in collection.files.items():
            rows: dict[str, Row] = {}
            for record in read_records(path):
                kind = str(record.get("kind") or record.get("mode"))
                row = rows.setdefault(kind, Row(f"{collection.name}/{name}", kind))
                _count(row, record, collection)
            yield from rows.values()


def _count(row: Row, record: dict[str, Any], collection: Collection) -> None:
    try:
        replay = make_replay(record, collection)
        found = compare(record, replay, collection)
    except (Skipped, UserError) as reason:
        row.skipped[str(reason)] += 1
        return
    except (KeyError, TypeError, ValueError) as fault:
        row.skipped[f"malformed record: {type(fault).__name__} {fault}"] += 1
        return
    row.exact += replay.exact
    row.approximations.update(replay.approximations)
    row.add(str(record.get("id", f"number {row.compared + 1}")), found)


_HEADER = (
    "| file | kind | compared | of them exact | bm25 | closeness, distance | others | relevance "
    "| overlap@10 | @100 | faults |"
)


def to_text(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table, then what was skipped and what differs."""
    listed = list(rows)
    lines = [_HEADER, "|---|---|" + "---:|" * 9]
    lines += [_line(row) for row in listed if row.compared]
    skipped = Counter[str]()
    for row in listed:
        skipped.update(row.skipped)
    records, values = (sum(getattr(row, name) for row in listed) for name in ("compared", "values"))
    lines += ["", f"Compared {values:,} numbers of {records:,} records.", ""]
    lines += ["Skipped:", *(f"- {count} x {reason}" for reason, count in skipped.most_common())]
    faults = [
        f"- {row.file} {record}: {sentences[0]}"
        for row in listed
        for record, sentences in row.faults.items()
    ]
    return "\n".join([*lines, "", "Faults:", *(faults or ["- none"])])


def _line(row: Row) -> str:
    groups: dict[str, float] = {}
    for name, value in row.differences.items():
        group = _group(name)
        groups[group] = max(groups.get(group, 0.0), value)
    cells = [f"{groups[g]:.1e}" if g in groups else "" for g in _GROUPS]
    cells[-1] += f" ({row.apart} hits apart)" if row.apart else ""
    overlaps = [f"{x:.3f}" if (x := row.overlap(cut)) is not None else "" for cut in (10, 100)]
    exact = f"{row.exact} ({row.tied} tied)" if row.tied else str(row.exact)
    return (
        f"| {row.file} | {row.kind} | {row.compared} | {exact} | {' | '.join(cells)} | "
        f"{' | '.join(overlaps)} | {len(row.faults)} |"
    )


_GROUPS = ("bm25", "closeness", "others", "relevance")


def _group(name: str) -> str:
    if name.startswith("bm25("):
        return "bm25"
    if name.startswith(("closeness(", "distance(")):
        return "closeness"
    return name if name == "relevance" else "others"
