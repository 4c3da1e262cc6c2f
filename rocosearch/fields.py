"""A named field of a record, wherever the record keeps it."""

from __future__ import annotations

from ingest.corpus.records import Record

__all__ = ["field_of"]

COLUMNS = frozenset({"modality", "source"})


def field_of(record: Record, name: str) -> str:
    """The record's own column of that name, or what the source called so; "" where neither is."""
    found = getattr(record, name) if name in COLUMNS else record.extra.get(name, "")
    return found.strip() if isinstance(found, str) else ""
