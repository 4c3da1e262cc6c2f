"""Write a feed file for the official `vespa feed` client."""

from __future__ import annotations

from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.base.storage import whole_file
from ingest.feed.feed import FeedSource
from ingest.feed.targets import Change, operation_of, with_fingerprints
from ranking.types import EngineError
from vespa_app.feed.operations import feed_line
from vespa_app.read.application import Application

__all__ = ["write_feed_file"]


def write_feed_file(
    source: FeedSource, application: Application, out: Path, progress: Progress = silent
) -> tuple[int, list[tuple[str, str]]]:
    """Write a put of every document of `source` to `out`, one JSON object a line.

    Returns the number of lines, and (id, reason) of documents that must not be fed: `vespa feed`
    would send their vectors unseen. Afterwards read `feeder.ok.count` of what it prints, since
    it exits 0 when it has given up.
    """
    known = with_fingerprints(application, source.made_by)
    written = 0
    refused: list[tuple[str, str]] = []
    with whole_file(out) as beside, beside.open("w", encoding="utf-8") as stream:
        for document in source.documents():
            try:
                operation = operation_of(Change("put", document), known)
            except EngineError as error:
                refused.append((document.id, str(error)))
                continue
            stream.write(feed_line(operation, application.schema))
            written += 1
            if written % 1000 == 0:
                progress("feed file", written, len(source.corpus))
    return written, refused
