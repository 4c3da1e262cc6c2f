"""corpus.json: counts, splits and source of a corpus, written last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from encoders.base.errors import plain_reason, readable
from encoders.base.storage import sha256_json, write_whole
from ingest.corpus.records import CorpusError
from ranking.types import Attribute

__all__ = ["MANIFEST", "CorpusManifest"]

MANIFEST = "corpus.json"
FORMAT = 2  # 1: the records have no subject_id, which reads as ""


@dataclass(frozen=True)
class CorpusManifest:
    """What `corpus.json` says.

    content_sha256: over all records in order. rejected: rows left out, by reason; lost_parts:
    parts of kept rows that were left out (an unknown concept). groups_across_splits: groups
    that the source itself puts into several splits (kept there, since the splits are its own).
    recognised: how the source was read, in one line.
    duplicates: records that repeat an earlier one, by kind (ingest/corpus/duplicates.py).
    fields: of one's own; filled: how many records have a value for each.
    """

    records: int
    images: int
    groups: int
    splits: dict[str, int]
    split_rule: str
    groups_across_splits: int
    rejected: dict[str, int]
    lost_parts: dict[str, int]
    duplicates: dict[str, int]
    source: str
    source_format: str
    content_sha256: str
    recognised: str = ""
    fields: tuple[Attribute, ...] = ()
    filled: dict[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Write `corpus.json` into `folder`."""
        content = asdict(self)
        content["checksum"] = sha256_json(content)
        write_whole(folder / MANIFEST, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `corpus.json` of `folder`; raises CorpusError if it is missing or damaged."""
        path = folder / MANIFEST
        try:
            with readable(path, CorpusError):
                content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] in (1, FORMAT):
                told = content.pop("checksum", None)  # earlier versions wrote none
                if told is not None and told != sha256_json(content):
                    raise ValueError("its checksum does not match")
                own = tuple(Attribute(**each) for each in content.pop("fields", ()))
                return cls(fields=own, **content)
        except FileNotFoundError:
            raise CorpusError(
                f"{folder} is not a complete corpus: it has no {MANIFEST}. Write it again with "
                "`rocosearch corpus`."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorpusError(
                f"{path} is damaged ({plain_reason(error)}). Write the corpus again."
            ) from None
        raise CorpusError(
            f"{folder} has corpus format {content['format']}; this version reads 1 to {FORMAT}. "
            "Write the corpus again with `rocosearch corpus`."
        )
