"""Parquet files with an image and a caption column, and corpora written by this project.

The image column holds a struct of bytes and path (as Hugging Face writes it) or plain bytes.
The split is a column, or the beginning of the file's name: `train-00000-of-00004.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.corpus.corpus import Corpus
from ingest.corpus.images import ImageRejectedError
from ingest.corpus.manifest import MANIFEST
from ingest.corpus.records import CorpusError, Reason, Rejection, Row
from ingest.sources.fields import CAPTIONS, group_keys, record_from
from ingest.sources.files import normal_name, read_image, split_of

__all__ = ["ParquetFiles", "looks_like_parquet"]

IMAGES = ("image", "img", "jpg", "png")


def looks_like_parquet(path: Path) -> bool:
    """Whether `path` is a Parquet file, a folder of them, or a corpus."""
    return bool(_files(path)) or (path / MANIFEST).is_file()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(file for above in ("", "*/") for file in path.glob(f"{above}*.parquet"))


@dataclass(frozen=True)
class ParquetFiles:
    """One file, or all Parquet files in a folder and its folders."""

    path: Path
    format: str = "parquet"

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, file after file."""
        if (self.path / MANIFEST).is_file():
            yield from _corpus_rows(Corpus.open(self.path))
            return
        files = _files(self.path)
        if not files:
            raise CorpusError(f"{self.path} holds no Parquet file.")
        for file in files:
            yield from _rows(file)


def _corpus_rows(corpus: Corpus) -> Iterator[Row]:
    """What the corpus holds, and what was rejected when it was written."""
    for number, record in enumerate(corpus.records(), 1):
        own = (f"group:{record.group_id}",) if record.group_id else ()
        yield replace(
            record,
            file=corpus.path.name,
            line=number,
            caption_needed=False,
            group_keys=tuple(dict.fromkeys((*own, *group_keys(record.extra)))),
        )
    for row in corpus.rejected().to_pylist():
        yield Rejection(
            Reason(row["reason"]),
            row["source"],
            row["line"],
            row["id"],
            row["detail"],
            row["row_kept"],
        )


def _rows(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = {normal_name(name): name for name in file.schema_arrow.names}
            if not any(caption in names for caption in CAPTIONS):
                raise CorpusError(
                    f"{path} has no caption column ({', '.join(CAPTIONS)}); "
                    f"its columns are {', '.join(names.values())}."
                )
            number = 0
            for batch in file.iter_batches(batch_size=64):
                for values in batch.to_pylist():
                    yield _row(path, number, values)
                    number += 1
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} is not a complete Parquet file: {error}.") from None


def _row(path: Path, number: int, values: dict[str, Any]) -> Row:
    split = split_of(path.stem) or split_of(path.resolve().parent.name)
    identifier = f"{path.stem}-{number}"
    column = next((name for name in values if normal_name(name) in IMAGES), None)
    try:
        image, image_path = _image(path, values.pop(column, None) if column else None)
    except ImageRejectedError as error:
        return Rejection(error.reason, path.name, number + 1, identifier, error.detail)
    return record_from(
        values,
        identifier=identifier,
        image=image,
        image_path=image_path,
        split=split,
        source=path.resolve().parent.name,
        file=path.name,
        line=number + 1,
    )


def _image(path: Path, value: object) -> tuple[bytes | None, str]:
    if value is None:
        return None, ""
    if isinstance(value, bytes):
        return value, ""
    if isinstance(value, str):
        return read_image(path.parent, value), value
    if isinstance(value, dict):
        data, name = value.get("bytes"), value.get("path") or ""
        if isinstance(data, bytes):
            return data, name
        return (read_image(path.parent, name), name) if name else (None, "")
    raise ImageRejectedError(Reason.UNUSABLE_IMAGE, f"a column of {type(value).__name__}")
