"""Comparisons summed up by file and kind of query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.vespa_records.compare import compare
from tests.vespa_records.comparison import Comparison
from tests.vespa_records.records import Collection, RecordsError, read_records
from tests.vespa_records.replay import Skipped, make_replay

__all__ = ["Row", "count_record", "measure", "to_text"]


@dataclass
class Row:
    """One kind of query of one file.

    exact: records whose hits must be the same; the others are approximate in Vespa (weakAnd,
    HNSW). tied: exact ones whose order Vespa itself leaves open. ordered: records whose order had
    to be the same but among equals. totals: "same" or "within" -> records whose total had to be
    so. faults: record id -> sentences. values, apart: as `Comparison` has them, summed.
    """

    file: str
    kind: str
    compared: int = 0
    exact: int = 0
    tied: int = 0
    ordered: int = 0
    totals: Counter[str] = field(default_factory=Counter)
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
        self.apart += len(found.apart)
        self.ordered += found.ordered
        self.totals[found.total] += 1
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
            "same_order": self.ordered,
            "totals": dict(self.totals),
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
            for number, record in enumerate(read_records(path), start=1):
                kind = _kind(record)
                row = rows.setdefault(kind, Row(f"{collection.name}/{name}", kind))
                count_record(row, record, collection, f"line {number}")
            yield from rows.values()


def _kind(record: object) -> str:
    if not isinstance(record, dict):
        return "unnamed"
    return str(record.get("kind") or record.get("mode") or "unnamed")


def count_record(row: Row, record: Any, collection: Collection, line: str) -> None:
    """Answer one record and count it in: as compared, at fault, or skipped with its reason.

    What the engine cannot answer is a fault too, whatever it raises.
    """
    try:
        replay = make_replay(record, collection)
        found = compare(record, replay, collection)
    except (Skipped, RecordsError) as reason:
        row.skipped[str(reason)] += 1
        return
    except Exception as error:  # noqa: BLE001 - the fault is reported, and the rest is compared
        row.compared += 1
        row.faults[_name(record, line)] = [f"{type(error).__name__}: {error}"]
        return
    row.exact += replay.exact
    row.approximations.update(replay.approximations)
    row.add(_name(record, line), found)


def _name(record: Any, line: str) -> str:
    return str(record.get("id", line))


_HEADER = (
    "| file | kind | compared | of them exact | same order | same total | total within bounds "
    "| bm25 | closeness, distance | others | relevance | overlap@10 | @100 | faults |"
)


def to_text(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table, then what was skipped and what differs."""
    listed = list(rows)
    lines = [_HEADER, "|---|---|" + "---:|" * 12]
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
        f"| {row.file} | {row.kind} | {row.compared} | {exact} | {row.ordered} "
        f"| {row.totals['same']} | {row.totals['within']} | {' | '.join(cells)} | "
        f"{' | '.join(overlaps)} | {len(row.faults)} |"
    )


_GROUPS = ("bm25", "closeness", "others", "relevance")


def _group(name: str) -> str:
    if name.startswith("bm25("):
        return "bm25"
    if name.startswith(("closeness(", "distance(")):
        return "closeness"
    return name if name == "relevance" else "others"
