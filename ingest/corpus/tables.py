"""Checked Parquet files, and clear errors for damaged ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from encoders.base.errors import plain_reason, readable
from encoders.base.parquet import check_footer
from ingest.corpus.records import CorpusError

__all__ = ["opened", "read_table"]

AGAIN = "write the corpus again."


def read_table(
    path: Path,
    columns: Sequence[str] | None = None,
    schema: pa.Schema | None = None,
    *,
    advice: str = AGAIN,
) -> pa.Table:
    """Read columns of a file, all where none are named.

    schema: the types of the columns; one that the file lacks is null. advice: what to do where
    the file is damaged. Raises CorpusError then, and where it may not be read.
    """
    # Not with pyarrow.parquet.read_table: it imports pandas, which takes longer than most reads.
    with opened(path, advice) as file:
        there = file.schema_arrow.names
        names = list(columns or (schema or file.schema_arrow).names)
        if schema is None and (missing := [name for name in names if name not in there]):
            raise pa.ArrowInvalid(f"it has no column {missing[0]}")
        table = file.read(columns=[name for name in names if name in there])
        if schema is None:
            return table.select(names)
        typed = pa.schema([schema.field(name) for name in names], schema.metadata)
        found = [
            table[each.name].cast(each.type)
            if each.name in there
            else pa.nulls(len(table), each.type)
            for each in typed
        ]
        return pa.table(found, schema=typed)


@contextmanager
def opened(path: Path, advice: str = AGAIN) -> Iterator[pq.ParquetFile]:
    """Open a file to be read piece by piece. Raises CorpusError as `read_table` does."""
    with _told(path, advice):
        check_footer(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file


@contextmanager
def _told(path: Path, advice: str) -> Iterator[None]:
    try:
        with readable(path, CorpusError):
            yield
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: {advice}") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = plain_reason(error).partition("\n")[0]
        raise CorpusError(f"{path} is damaged ({reason}): {advice}") from None
