"""Reader for a corpus written by rocosearch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.corpus.corpus import Corpus
from ingest.corpus.manifest import MANIFEST
from ingest.corpus.records import Reason, Rejection, Row
from ingest.sources.fields import group_keys

__all__ = ["StoredCorpus", "looks_like_corpus"]


def looks_like_corpus(path: Path) -> bool:
    """Whether a corpus stands at `path`."""
    return (path / MANIFEST).is_file()


@dataclass(frozen=True)
class StoredCorpus:
    """What a corpus holds, and what was rejected when it was written."""

    path: Path
    format: str = "parquet"
    recognised: str = "a corpus"

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the records, then the rejections."""
        corpus = Corpus.open(self.path)
        for number, record in enumerate(corpus.records(), 1):
            own = (f"group:{record.group_id}",) if record.group_id else ()
            keys = tuple(dict.fromkeys((*own, *group_keys(record.extra))))
            yield replace(
                record, file=corpus.path.name, line=number, caption_needed=False, group_keys=keys
            )
        for row in corpus.rejected().to_pylist():
            if row["reason"] == Reason.OTHER_TYPE:
                continue  # whoever writes the fields again finds out again
            yield Rejection(
                Reason(row["reason"]),
                row["source"],
                row["line"],
                row["id"],
                row["detail"],
                row["row_kept"],
            )
