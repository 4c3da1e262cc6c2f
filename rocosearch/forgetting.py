"""Take a patient out of a corpus and of all indexes and servers that were made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from ingest.corpus.corpus import Corpus
from ingest.corpus.predictions import PREDICTIONS
from ingest.feed.forget import forget_in_corpus, forget_in_engine, records_of
from ingest.sources.pseudonyms import Pseudonyms
from rocosearch.pipeline import open_engine

__all__ = ["forget"]


def forget(
    patient: str, corpus: Path, targets: Sequence[str], key: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Remove a patient, named by id or pseudonym; targets: indexes' folders and servers' URLs.

    Returns the pseudonym, how many records were in the corpus and in its training split, the
    encoders that had embedded it, how many documents each target lost, and whether the corpus
    had labels. The targets come first
    and the key's own list last, so that the same command ends a job that was interrupted.
    Raises UserError where nothing is known of the patient.
    """
    names = Pseudonyms.at(key)
    subject = names.subject(patient)
    opened = Corpus.open(corpus)
    found = records_of(opened, subject)
    labelled = (corpus / PREDICTIONS).exists()
    known = names.sources_of(subject)
    ids = tuple(dict.fromkeys((*found.ids, *(one.id for one in known))))
    if not ids:
        raise UserError(f"Nothing in {corpus} or under {key} is of {patient!r} ({subject}).")
    removed = {target: _forget_in_target(target, ids) for target in targets}
    if found.ids:
        forget_in_corpus(opened, subject, ids, [one.file for one in known], progress)
    names.forget(subject)
    return {
        "subject": subject,
        "records": len(found.ids),
        "trained": found.trained,
        "encoders": list(found.encoders),
        "removed": removed,
        "predictions": labelled,
    }


def _forget_in_target(target: str, ids: Sequence[str]) -> int:
    if not target.startswith(("http://", "https://")):
        return forget_in_engine(open_engine(Path(target)), ids)
    from rocosearch.vespa_jobs import Server, open_server_searcher  # noqa: PLC0415 - may be absent

    with open_server_searcher(Server(target)) as searcher:
        return forget_in_engine(searcher.engine, ids)
