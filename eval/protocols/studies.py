"""Protocols of an index of studies: a text finds a frame, a study finds studies like it.

A text finds its study by the protocols of images.
"""

from __future__ import annotations

import numpy as np

from eval.collection.pool import Pool
from eval.collection.runs import Qrels
from eval.protocols.groups import by_image
from eval.protocols.known_item import equal_captions
from eval.protocols.tasks import Skipped, Task, Topic, left_out_notes

__all__ = ["study_to_study", "text_to_frame"]

NO_STUDIES = "documents are images (an index of studies: rocosearch index --studies)"


def text_to_frame(pool: Pool) -> list[Task | Skipped]:
    """A study's caption finds the frames that show what it says, among those of all studies.

    Frames are marked by the source: `seen_from`, `seen_to` and `frame` in a record's `extra`.
    """
    name = "text-to-frame"
    if not pool.members:
        return [Skipped(name, NO_STUDIES)]
    marked = np.array([frame in pool.shown for frame in pool.images])
    shown = np.bincount(pool.owners[marked], minlength=len(pool))
    some = (shown > 0) & (shown < np.bincount(pool.owners, minlength=len(pool)))
    frames = np.split(np.flatnonzero(marked), np.cumsum(shown)[:-1])
    equal = equal_captions(pool)
    rows = [row for row in pool.query_rows if some[row] and equal[row]]
    if not rows:
        return [Skipped(name, "no frame is marked (seen_from, seen_to and frame in `extra`)")]
    relevant = [
        np.concatenate([frames[other] for other in equal[row]]).astype(np.int32) for row in rows
    ]
    topics = tuple(Topic(pool.ids[row], pool.captions[row], row) for row in rows)
    task = Task(
        protocol=name,
        description="A study's caption finds the frames that show it, among those of all studies.",
        topics=topics,
        qrels=Qrels.from_columns(tuple(t.id for t in topics), tuple(pool.images), relevant),
        vectors="frames",
        no_lexical="n/a: a frame has no words of its own",
        notes=left_out_notes({"no frame is marked, or all are": len(pool.query_rows) - len(rows)}),
        owners=pool.owners,
    )
    return [task]


def study_to_study(pool: Pool) -> list[Task | Skipped]:
    """A study, by its mean vector, finds the patient's other studies, or those like it."""
    name = "study-to-study"
    if not pool.members:
        return [Skipped(name, NO_STUDIES)]
    patients = [("patient", subject) for subject in pool.subjects]
    return by_image(pool, name, ("A study", "studies"), "studies of the same patient", patients)
