"""A field of a record by name."""

from __future__ import annotations

from ingest.corpus.records import Record

__all__ = ["field_of"]

COLUMNS = frozenset({"modality", "source"})


def field_of(record: Record, name: str) -> str:
    """The column of that name, else the field of the source; "" if neither exists."""
    found = getattr(record, name) if name in COLUMNS else record.extra.get(name, "")
    return found.strip() if isinstance(found, str) else ""
