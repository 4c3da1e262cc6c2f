"""Sync a target with the corpus, sending only changes.

Every record is compared with the ledger. What the target lacks, or has otherwise, is put whole;
where only a vector is new, that alone is updated; what is the same is not sent. An operation is
entered when the target has confirmed it, so a feed that is killed and run again goes on.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from encoders.base.errors import Notice
from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes
from ingest.corpus.corpus import Corpus
from ingest.corpus.records import canonical_json
from ingest.feed.documents import View, documents
from ingest.feed.ledger import SLICE, Known, Ledger
from ingest.feed.targets import Change, FeedError, Outcome, Target
from ingest.vectors.embed import embedding_parts, without_vector
from ranking.names import CAPTION_VECTORS, ROLES, encoder_names, role_of
from ranking.types import Attribute, Document, EngineError, VectorField
from vespa_app.feed.operations import Verdict

__all__ = [
    "FeedResult",
    "FeedSource",
    "check_fields",
    "check_own_fields",
    "feed",
    "held_hashes",
    "ledger_path",
    "ledgers_of",
    "tell_of_captions",
]


@dataclass(frozen=True)
class FeedSource:
    """What is fed: a corpus, the encoders whose vectors go with it, and the view of captions.

    delete: also remove from the target what has left the corpus since it was fed. studies: the
    images of a case are one document. captions, patches: with vectors of those. caption_encoder:
    fingerprint of the encoder that made those of captions; "": each made its own.
    """

    corpus: Corpus
    fingerprints: tuple[str, ...] = ()
    view: View = "full"
    delete: bool = False
    studies: bool = False
    captions: bool = False
    patches: bool = False
    caption_encoder: str = ""

    @property
    def made_by(self) -> tuple[str, ...]:
        """Fingerprints of all encoders whose vectors are fed."""
        return (*self.fingerprints, *filter(None, [self.caption_encoder]))

    @property
    def encoder_of_captions(self) -> str:
        """Fingerprint of what made the captions' vectors, "" where none are fed."""
        own = self.fingerprints[0] if self.captions and self.fingerprints else ""
        return self.caption_encoder or own

    def documents(self) -> Iterator[Document]:
        """What the target should hold."""
        return documents(
            self.corpus,
            self.fingerprints,
            view=self.view,
            studies=self.studies,
            captions=self.captions,
            caption_encoder=self.caption_encoder,
            patches=self.patches,
        )

    def ids(self) -> list[str]:
        """The ids of those."""
        if self.studies:
            return [document.id for document in documents(self.corpus, studies=True)]
        found: list[str] = self.corpus.table(["id"])["id"].to_pylist()
        return found


@dataclass
class FeedResult:
    """What a feed did, in documents; `tries_again` counts requests beyond one for each.

    refused: dead letters. They stand in the file `dead_letters`, with the target's reasons.
    restarted: the target was rebuilt, so the ledger started again.
    """

    put: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    refused: int = 0
    tries_again: int = 0
    seconds: float = 0.0
    dead_letters: Path | None = None
    restarted: bool = False

    @property
    def sent(self) -> int:
        """Operations that the target confirmed."""
        return self.put + self.updated + self.removed


def ledgers_of(corpus: Corpus) -> Path:
    """The folder of a corpus's ledgers."""
    return corpus.path.with_name(f"{corpus.path.name}.feeds")


def ledger_path(corpus: Corpus, target: Target) -> Path:
    """The path of their ledger: beside the corpus, whose folder may be replaced."""
    name = sha256_bytes(target.name.encode())[:12]
    return ledgers_of(corpus) / f"{name}.sqlite"


def feed(
    source: FeedSource,
    target: Target,
    *,
    ledger: Path | None = None,
    progress: Progress = silent,
) -> FeedResult:
    """Feed what the target lacks of `source`.

    ledger: its file, by default `ledger_path`; dead letters are written beside it.
    Memory: positions of vectors (about 200 bytes per record) and operations in flight.
    Raises FeedError if the target has no field for an encoder, or has to be left before the
    end (full, unreachable, no access): what was confirmed is in the ledger, and feeding again
    goes on from there.
    """
    path = ledger or ledger_path(source.corpus, target)
    with Ledger(path, target.name, target.content) as opened:
        if not opened.count():
            opened.put_all(held_hashes(target))
            opened.note(source.ids())
            opened.forget(opened.not_noted())  # what others put there is not this corpus's
        result = FeedResult(restarted=opened.restarted)
        work = _Feed(_with_known_encoders(source, target, opened), target, opened, progress, result)
        dead_letters = path.with_suffix(".dead.jsonl")
        try:
            return work.run()
        except EngineError as error:
            raise FeedError(
                f"{error} Fed until then: {opened.count()} of {len(source.corpus)} documents. "
                "Feed again to continue."
            ) from None
        finally:
            if opened.write_dead_letters(dead_letters):
                work.result.dead_letters = dead_letters


def check_fields(
    fingerprints: Sequence[str], name: str, fields: Sequence[VectorField], caption_encoder: str = ""
) -> None:
    """Check that `fields`, those of the target `name`, take the vectors of these encoders.

    caption_encoder: fingerprint of that of captions, where they are fed with vectors.
    Raises FeedError, once for all documents, where one is missing or another encoder's.
    """
    offered = {field.name: field for field in fields}
    wanted_fields = {encoder_names(each).embedding: each for each in fingerprints}
    if caption_encoder:
        wanted_fields[encoder_names(caption_encoder).field(CAPTION_VECTORS)] = caption_encoder
    for wanted, fingerprint in wanted_fields.items():
        if wanted not in offered:
            raise FeedError(
                f"{name} has no vector field {wanted} for encoder {fingerprint[:8]}; it has "
                f"{', '.join(offered) or 'none'}. Deploy or build it with this encoder first."
            )
        if offered[wanted].fingerprint not in ("", fingerprint):
            raise FeedError(
                f"The vectors in {wanted} of {name} are of encoder "
                f"{offered[wanted].fingerprint}, not of {fingerprint}: the two cannot be mixed."
            )


def tell_of_captions(source: FeedSource, name: str, fields: Sequence[VectorField]) -> None:
    """Tell where the target `name` has vectors of captions, and they are not fed."""
    held = [field.name for field in fields if role_of(field.name) == CAPTION_VECTORS]
    if held and not source.captions:
        told = (
            f"{name} has vectors of captions ({', '.join(held)}), and this feed sends none: new "
            "and changed documents have none. Feed with --caption-vectors or --caption-encoder."
        )
        warnings.warn(told, Notice, stacklevel=2)


def check_own_fields(corpus: Corpus, name: str, attributes: Sequence[Attribute]) -> None:
    """Check that the target `name` has the corpus's fields of one's own. Raises FeedError."""
    there = {each.name: each.type for each in attributes}
    for each in corpus.manifest.fields:
        if there.get(each.name) != each.type:
            has = f"has {each.name} as {there[each.name]}" if each.name in there else "has none"
            raise FeedError(
                f"{corpus.path} has a field {each.name} of the type {each.type}, and {name} "
                f"{has}: index the corpus again, then write and deploy the application."
            )


def _check_vectors(source: FeedSource) -> None:
    """Raise FeedError where a part of the embeddings is missing, or all of them."""
    path = source.corpus.path
    for fingerprint in source.fingerprints:
        if not embedding_parts(source.corpus, fingerprint):
            raise FeedError(f"{path} has no vectors of encoder {fingerprint[:8]}: embed it first.")
        if lacking := without_vector(source.corpus, fingerprint):
            raise FeedError(
                f"{lacking:,} images of {path} have no vector of encoder {fingerprint[:8]}: a part "
                "of its embeddings is missing, or embedding was not finished. Embed it again "
                "(`rocosearch embed`): only what is missing is made."
            )


def _with_known_encoders(source: FeedSource, target: Target, ledger: Ledger) -> FeedSource:
    """With the other encoders whose vectors the target holds: a put must not drop them."""
    fields = target.vector_fields
    check_fields(source.fingerprints, target.name, fields, source.encoder_of_captions)
    check_own_fields(source.corpus, target.name, target.attributes)
    _check_vectors(source)
    offered = {field.name for field in fields}
    others = [
        each
        for each in ledger.fingerprints()
        if each not in source.fingerprints
        and encoder_names(each).embedding in offered
        and embedding_parts(source.corpus, each)
    ]
    of_captions = [
        each
        for each in ledger.fingerprints()
        if (own := encoder_names(each)).field(CAPTION_VECTORS) in offered
        and own.embedding not in offered
    ]
    if of_captions and not source.captions:
        source = replace(source, captions=True, caption_encoder=of_captions[0])
    tell_of_captions(source, target.name, fields)
    return replace(source, fingerprints=(*source.fingerprints, *others))


@dataclass
class _Wanted:
    """A document as the target should hold it, and its hashes."""

    document: Document
    content: str
    vectors: Mapping[str, str]  # hash by fingerprint


@dataclass
class _Feed:
    source: FeedSource
    target: Target
    ledger: Ledger
    progress: Progress
    result: FeedResult
    _under_way: dict[str, _Wanted] = field(default_factory=dict)
    _absent: deque[_Wanted] = field(default_factory=deque)

    def run(self) -> FeedResult:
        started = time.monotonic()
        target = self.target.for_encoders(self.source.made_by)
        try:
            for outcome in target.send(self._changes()):
                self._enter(outcome)
            while self._absent:  # of the last ones sent
                for outcome in target.send(self._puts_of_absent()):
                    self._enter(outcome)
            if self.source.delete:
                for outcome in target.send(self._removals()):
                    self._enter(outcome)
        finally:
            self.result.seconds = time.monotonic() - started
        return self.result

    def _changes(self) -> Iterator[Change]:
        wanted = self._wanted()
        while some := list(islice(wanted, SLICE)):
            known = self.ledger.known([each.document.id for each in some])
            changes = [(each, _change(each, known.get(each.document.id))) for each in some]
            self.ledger.doubt(each.document.id for each, change in changes if change)
            for each, change in changes:
                yield from self._puts_of_absent()
                if change is None:
                    self.result.unchanged += 1
                    continue
                self._under_way[each.document.id] = each
                yield change
            self._report()

    def _wanted(self) -> Iterator[_Wanted]:
        source = self.source
        prints = {
            encoder_names(each).field(role): each for each in source.made_by for role in ROLES
        }
        for document in source.documents():
            hashes = _vector_hashes(document, prints)
            yield _Wanted(document, _content_hash(document), hashes)

    def _puts_of_absent(self) -> Iterator[Change]:
        """Documents that the ledger knew and the target does not have: whole, after all."""
        while self._absent:
            wanted = self._absent.popleft()
            self._under_way[wanted.document.id] = wanted
            yield Change("put", wanted.document)

    def _removals(self) -> Iterator[Change]:
        self.ledger.note(self.source.ids())
        gone = self.ledger.not_noted()
        self.ledger.doubt(gone)
        for identifier in gone:
            yield Change("remove", Document(identifier))

    def _enter(self, outcome: Outcome) -> None:
        change, identifier = outcome.change, outcome.change.document.id
        wanted = self._under_way.pop(identifier, None)
        self.result.tries_again += max(0, outcome.attempts - 1)
        if outcome.verdict is Verdict.REFUSED:
            self.ledger.refuse(identifier, outcome.message)
            self.result.refused += 1
        elif outcome.verdict is Verdict.ABSENT and wanted is not None:
            self.ledger.forget([identifier])
            self._absent.append(wanted)
        elif change.kind == "remove":
            self.ledger.forget([identifier])
            self.result.removed += 1
        elif wanted is not None and change.kind == "put":
            self.ledger.put(identifier, wanted.content, wanted.vectors)
            self.result.put += 1
        elif wanted is not None:
            self.ledger.update(identifier, wanted.content, wanted.vectors)
            self.result.updated += 1
        if (self.result.sent + self.result.refused) % 100 == 0:
            self._report()

    def _report(self) -> None:
        result = self.result
        done = result.put + result.updated + result.unchanged + result.refused
        self.progress("feed", done, len(self.source.corpus), f"{result.refused} refused")


def _change(wanted: _Wanted, known: Known | None) -> Change | None:
    """What brings the target from `known` to `wanted`; None if nothing is needed."""
    document = wanted.document
    if known is None or known.content != wanted.content:
        return Change("put", document)
    if any(fingerprint not in wanted.vectors for fingerprint in known.vectors):
        return Change("put", document)  # an update cannot take a vector away
    new = [f for f, vector in wanted.vectors.items() if known.vectors.get(f) != vector]
    if not new:
        return None
    names = {encoder_names(fingerprint).field(role) for fingerprint in new for role in ROLES}
    vectors = {name: vector for name, vector in document.vectors.items() if name in names}
    labelled = {name: several for name, several in document.labelled.items() if name in names}
    return Change("update", replace(document, vectors=vectors, labelled=labelled))


def held_hashes(target: Target) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """What a target holds, as the ledger has it: id, content, vectors; see `Target.held`."""
    prints = {each.name: each.fingerprint for each in target.vector_fields if each.fingerprint}
    for document in target.held():
        yield document.id, _content_hash(document), _vector_hashes(document, prints)


def _vector_hashes(document: Document, prints: Mapping[str, str]) -> dict[str, str]:
    """Fingerprint -> hash of that encoder's vectors. prints: vector field -> fingerprint."""
    parts: dict[str, bytes] = {}
    for name, vector in sorted(document.vectors.items()):
        if name in prints:
            parts[prints[name]] = parts.get(prints[name], b"") + vector.tobytes()
    for name, labelled in sorted(document.labelled.items()):
        if name in prints:
            several = b"".join(f"\n{each}\n".encode() + v.tobytes() for each, v in labelled.items())
            parts[prints[name]] = parts.get(prints[name], b"") + name.encode() + several
    return {fingerprint: _short_hash(content) for fingerprint, content in parts.items()}


def _content_hash(document: Document) -> str:
    return _short_hash(canonical_json({"id": document.id, **document.content()}).encode())


def _short_hash(data: bytes) -> str:
    return sha256_bytes(data)[:32]
