"""Overlap of a pool with training: images, copies, captions, groups.

Compared with the encoder's own record (`seen.parquet`, encoders/training/seen_pairs.py). Without
one the overlap is unknown, and only the corpus's own train split can be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from encoders.training.seen_pairs import SEEN, Record, Seen, hashed, shingles
from eval.collection.phrases import rare
from eval.collection.pool import Pool
from eval.leakage.copies import COPY_BITS, COSINE, LIKE_BITS, close_pairs, verified
from eval.leakage.indexed_texts import CONTAINED_FROM, SHORT
from ingest.corpus.corpus import EMBEDDINGS, Corpus
from ingest.corpus.duplicates import normal_caption
from ingest.vectors.embed import embedding_parts, read_embeddings

__all__ = [
    "NO_RECORD",
    "TRAIN",
    "UNKNOWN",
    "Overlap",
    "SeenTexts",
    "captions_seen",
    "find_overlap",
    "find_record",
]

TRAIN = "train"  # the split that encoders are trained on
UNKNOWN = "overlap with training unknown"
NO_RECORD = (
    "The captions' own encoder has no record of what it was trained on (seen.parquet): whether it "
    "was trained on the captions asked for is unknown."
)

Marks = NDArray[np.bool_]
Words = Sequence[str]


class SeenTexts:
    """Captions of one encoder's training, to look texts up in."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        owners, hashes = seen.parts["shingle"]
        self._known, columns = np.unique(hashes, return_inverse=True)
        shape = (seen.pairs, len(self._known))
        self._texts = csr_array((np.ones(len(owners), np.int32), (owners, columns)), shape=shape)

    def equal(self, normalised: Sequence[str]) -> Marks:
        """Which of the texts are a caption of training, bool [texts]."""
        return self._seen.has("caption", normalised)

    def near(self, normalised: Sequence[str]) -> Marks:
        """Which of the texts have .8 of their runs of three words in one caption of training.

        Short texts have few runs, and common ones ("chest x ray") say nothing: a text of fewer
        than four runs is near only what few captions hold.
        """
        key, known = self._seen.key, self._known
        distinct = dict.fromkeys(normalised)
        runs = [[hashed(key, run) for run in shingles(text)] for text in distinct]
        sizes = np.array([len(row) for row in runs], np.int64)
        owners = np.repeat(np.arange(len(runs)), sizes)
        keys = np.array([value for row in runs for value in row], np.uint64)
        columns = np.searchsorted(known, keys)
        there = columns < len(known)
        there[there] = known[columns[there]] == keys[there]
        entries = (np.ones(int(there.sum()), np.int32), (owners[there], columns[there]))
        asked = csr_array(entries, shape=(len(runs), len(known)))
        shared = (asked @ self._texts.T).tocoo()
        kept = shared.data >= CONTAINED_FROM * sizes[shared.row]
        holders = np.bincount(shared.row[kept], minlength=len(runs))
        near = (holders > 0) & ((sizes >= SHORT) | (holders <= rare(self._texts.shape[0])))
        said = dict(zip(distinct, near.tolist(), strict=True))
        return np.array([said[text] for text in normalised], np.bool_)


@dataclass(frozen=True)
class Overlap:
    """bool [documents] each, in the order of the pool; of a study, whether any image is so.

    same_image: the document's image was trained on, or a file of equal bytes; copy_image: a
    verified copy of one; near_image: one that looks alike, which proves nothing; caption,
    near_caption: an equal or a near caption; group: an image of the same case, article or patient.
    known: whether the encoder's own record says so. texts: captions of training, of the encoder and
    of the captions' own. notes: what a reader must know.
    """

    same_image: Marks
    copy_image: Marks
    near_image: Marks
    caption: Marks
    near_caption: Marks
    group: Marks
    known: bool = True
    texts: tuple[SeenTexts, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def image(self) -> Marks:
        """Documents whose image was trained on, itself or a verified copy."""
        return self.same_image | self.copy_image

    def counts(self) -> dict[str, int]:
        """How many documents overlap in each way."""
        names = ("same_image", "copy_image", "near_image", "caption", "near_caption", "group")
        return {name: int(getattr(self, name).sum()) for name in names}


def captions_seen(texts: Sequence[SeenTexts], normalised: Sequence[str]) -> tuple[Marks, Marks]:
    """Which texts are a caption of any training, and which are near one, bool [texts] each."""
    none = np.zeros(len(normalised), np.bool_)
    equal = np.logical_or.reduce([none, *(seen.equal(normalised) for seen in texts)])
    near = np.logical_or.reduce([none, *(seen.near(normalised) for seen in texts)])
    return equal, near


def find_record(corpus: Corpus, fingerprint: str, folder: Path | None) -> Record | None:
    """The encoder's record: beside the encoder, or kept with the vectors that it made."""
    kept = [corpus.path / EMBEDDINGS / fingerprint / SEEN]
    for path in ([folder / SEEN] if folder else []) + kept:
        if path.exists():
            return Record.read(path)
    return None


def find_overlap(
    corpus: Corpus, pool: Pool, fingerprint: str, record: Record | None, captions: str = ""
) -> Overlap:
    """Compare the pool's documents with what the encoder was trained on.

    captions: fingerprint of the captions' own encoder, if there is one; its texts and groups count
    too, as its record beside its vectors has them.
    """
    names = ["id", "caption", "group_id", "subject_id", "split", "hashes"]
    columns = corpus.table(names).to_pydict()
    place = {name: row for row, name in enumerate(columns["id"])}
    rows = [place[name] for name in pool.images]
    files = [each["image_sha256"] or "" for each in columns["hashes"]]
    looks = [each["image_dhash"] or "" for each in columns["hashes"]]
    normal = [normal_caption(text or "") for text in columns["caption"]]
    groups = [name or "" for name in columns["group_id"]]
    subjects = [name or "" for name in columns["subject_id"]]
    notes = []
    if record is None:
        notes.append(
            f"{UNKNOWN[0].upper()}{UNKNOWN[1:]}: the encoder has no record of what it was trained "
            "on (seen.parquet). Only the corpus's own train split was checked."
        )
        used = [row for row, split in enumerate(columns["split"]) if split == TRAIN]

        def of(column: Words) -> list[str]:
            return [column[row] for row in used]

        seen = Seen.of(
            images=of(files),
            looks=of(looks),
            captions=of(normal),
            groups=of(groups),
            subjects=of(subjects),
        )
    else:
        seen = record.trained
        notes += _chosen_on(record.validated, [files[row] for row in rows], pool)
        used = np.flatnonzero(seen.has_image(files)).tolist()
    mine = _Columns(rows, files, looks)
    same = seen.has_image([files[row] for row in rows])
    if record is None:
        same |= np.isin(rows, used)
    copies, alike = _copies(corpus, columns["id"], mine, used, fingerprint)
    unverified = _unverified(seen, looks, mine, used)
    if (unverified & ~same & ~copies).any():
        notes.append(
            "Near copies were not verified, because the training images are not in this corpus; "
            f"{int((unverified & ~same & ~copies).sum()):,} documents look like one of them."
        )
    stages = [seen]
    if captions:
        of_captions = find_record(corpus, captions, None)
        if of_captions:
            stages.append(of_captions.trained)
        else:
            notes.append(NO_RECORD)
    texts = tuple(SeenTexts(each) for each in stages)
    equal, near = captions_seen(texts, [normal[row] for row in rows])
    related = [
        each.has(kind, [column[row] for row in rows])
        for each in stages
        for kind, column in (("group", groups), ("subject", subjects))
    ]
    return Overlap(
        same_image=pool.any_image(same),
        copy_image=pool.any_image(copies & ~same),
        near_image=pool.any_image((alike | unverified) & ~same & ~copies),
        caption=pool.any_image(equal),
        near_caption=pool.any_image(near & ~equal),
        group=pool.any_image(np.logical_or.reduce(related)),
        known=record is not None,
        texts=texts,
        notes=tuple(notes),
    )


def _chosen_on(validated: Seen, files: Words, pool: Pool) -> list[str]:
    """A note where queries are made of images that chose the encoder's epoch."""
    count = int((pool.any_image(validated.has_image(files)) & pool.asking).sum())
    if not count:
        return []
    told = (
        f"Of the {int(pool.asking.sum()):,} images behind the queries, {count:,} were used to "
        "choose the encoder's epoch (its validation split), so figures of vector rankings are "
        "slightly too high."
    )
    return [told]


@dataclass(frozen=True)
class _Columns:
    """Rows of the pool's documents in the corpus, and hashes of the whole corpus."""

    rows: Sequence[int]
    files: Words
    looks: Words


def _copies(
    corpus: Corpus, ids: Words, mine: _Columns, used: Sequence[int], fingerprint: str
) -> tuple[Marks, Marks]:
    """Verified copies of the images trained on, and those only alike, bool [documents]."""
    copies = np.zeros(len(mine.rows), np.bool_)
    alike = np.zeros(len(mine.rows), np.bool_)
    trained = set(used)
    asked = [mine.looks[row] if row not in trained else "" for row in mine.rows]
    left, right, apart = close_pairs(asked, [mine.looks[row] for row in used], LIKE_BITS)
    if not len(left):
        return copies, alike
    pairs = [
        (ids[mine.rows[a]], ids[used[b]])
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]
    proposed = np.flatnonzero(apart <= COPY_BITS)
    proven = verified(corpus, [pairs[i] for i in proposed.tolist()])
    copies[left[proposed[proven]]] = True
    if embedding_parts(corpus, fingerprint):
        names, vectors = read_embeddings(corpus, fingerprint)
        at: dict[str, Any] = dict(zip(names, vectors, strict=True))
        cosines = np.array(
            [_cosine(at[a], at[b]) if a in at and b in at else 0.0 for a, b in pairs]
        )
        alike[left[cosines >= COSINE]] = True
    return copies, alike & ~copies


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length else 0.0


def _unverified(seen: Seen, looks: Words, mine: _Columns, used: Sequence[int]) -> Marks:
    """Documents that look like an image trained on which is not at hand, bool [documents]."""
    here = {int(looks[row], 16) for row in used if looks[row]}
    elsewhere = [f"{look:016x}" for look in seen.looks.tolist() if look not in here]
    found = np.zeros(len(mine.rows), np.bool_)
    left, *_ = close_pairs([mine.looks[row] for row in mine.rows], elsewhere, COPY_BITS)
    found[left] = True
    return found
