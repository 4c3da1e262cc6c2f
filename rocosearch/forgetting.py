"""Remove a patient from a corpus, indexes and servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.base.storage import SEEN
from encoders.training.seen_pairs import Record
from ingest.corpus.corpus import EMBEDDINGS, Corpus
from ingest.corpus.predictions import PREDICTIONS
from ingest.feed.forget import (
    forget_in_corpus,
    forget_in_engine,
    forget_in_ledgers,
    records_of,
)
from ingest.sources.pseudonyms import Pseudonyms
from rocosearch.page.judgements import Judgements, beside
from rocosearch.pipeline import open_engine
from vespa_app.http.credentials import Credentials, check_url, is_url

__all__ = ["forget"]


def forget(
    patient: str, corpus: Path, targets: Sequence[str], key: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Remove a patient, given by id or pseudonym; targets: index folders and server URLs.

    Returns the pseudonym, how many records were in the corpus and in its training split, what
    each encoder that had embedded it saw of the patient (`_seen_by`), how many documents each
    target lost, whether the corpus had labels, how many judgements were removed, and which other
    targets were fed the documents (waiting). The targets come first
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
        raise UserError(f"{corpus} and {key} have no record of {patient!r} ({subject}).")
    encoders = {name: _seen_by(opened, name, subject) for name in found.encoders}
    removed = {target: _forget_in_target(target, ids) for target in targets}
    if found.ids:
        forget_in_corpus(opened, subject, ids, [one.file for one in known], progress)
    judged = Judgements(beside(corpus)).forget(ids)
    waiting = forget_in_ledgers(opened, ids, {_ledger_name(each) for each in targets})
    names.forget(subject)
    return {
        "subject": subject,
        "records": len(found.ids),
        "trained": found.trained,
        "encoders": encoders,
        "removed": removed,
        "predictions": labelled,
        "judgements": judged,
        "waiting": waiting,
    }


def _seen_by(corpus: Corpus, fingerprint: str, subject: str) -> str:
    """What the encoder saw: "trained", "validated", "nothing", or "unknown" without a record."""
    path = corpus.path / EMBEDDINGS / fingerprint / SEEN
    if not path.exists():
        return "unknown"
    record = Record.read(path)
    rows = corpus.table(["subject_id", "hashes"]).to_pylist()
    images = [row["hashes"]["image_sha256"] for row in rows if row["subject_id"] == subject]
    for role, seen in (("trained", record.trained), ("validated", record.validated)):
        if seen.has("subject", [subject]).any() or seen.has_image(images).any():
            return role
    return "nothing"


def _ledger_name(target: str) -> str:
    """What a feed's ledger calls the target."""
    if not is_url(target):
        return str(Path(target).resolve())
    return check_url(target, Credentials.from_environment())


def _forget_in_target(target: str, ids: Sequence[str]) -> int:
    if not is_url(target):
        return forget_in_engine(open_engine(Path(target)), ids)
    from rocosearch.vespa_jobs import Server, open_server_searcher  # noqa: PLC0415 - may be absent

    with open_server_searcher(Server(target)) as searcher:
        return forget_in_engine(searcher.engine, ids)
