"""The pool: searched documents and their metadata, as columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.collection.phrases import Phrases
from eval.collection.runs import EvaluationError
from ingest.corpus.corpus import Corpus
from ingest.corpus.duplicates import normal_caption

__all__ = ["HELD_OUT", "Pool", "Scope", "load_pool"]

Scope = Literal["split", "all"]

# The first of these that the corpus has asks the queries, unless told otherwise.
HELD_OUT = ("test", "validation")
_COLUMNS = (
    "id",
    "caption",
    "concepts",
    "concept_names",
    "group_id",
    "group_kind",
    "modality",
    "split",
    "subject_id",
)


@dataclass(frozen=True)
class Pool:
    """Documents by ascending id; each column has one entry a document.

    asking: bool [documents], whether queries are made of it. split: where queries come from.
    has_vector: bool [documents]. subjects: patients, () where the corpus knows none. notes: what a
    reader of the report should know.
    """

    ids: tuple[str, ...]
    captions: tuple[str, ...]
    concepts: tuple[tuple[str, ...], ...]
    concept_names: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    group_kinds: tuple[str, ...]
    modalities: tuple[str, ...]
    asking: NDArray[np.bool_]
    has_vector: NDArray[np.bool_]
    split: str = ""
    scope: Scope = "split"
    subjects: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.ids)

    @property
    def query_rows(self) -> list[int]:
        """Rows of the documents that queries are made of."""
        return np.flatnonzero(self.asking).tolist()

    @cached_property
    def normalised(self) -> list[str]:
        """Every caption as `normal_caption` leaves it: equal ones count as the same."""
        return [normal_caption(caption) for caption in self.captions]

    @cached_property
    def phrases(self) -> Phrases:
        """The normalised captions, to look phrases up in."""
        return Phrases(self.normalised)

    def keys(self, row: int) -> list[str]:
        """What ties the document to others: patient, case or article, equal caption."""
        subject = self.subjects[row] if self.subjects else ""
        group, text = self.groups[row], self.normalised[row]
        keys = [f"patient {subject}"] if subject else []
        if group:
            kind = self.group_kinds[row]
            keys.append(f"{'group' if kind in ('', 'none') else kind} {group}")
        return [*keys, f"caption {text!r}"] if text else keys


def load_pool(
    corpus: Corpus,
    indexed: Collection[str],
    with_vector: Collection[str],
    *,
    split: str | None = None,
    scope: Scope = "split",
) -> Pool:
    """Documents of `corpus` that are in the index.

    split: where queries come from; None takes test, else validation, else the whole corpus.
    scope: "split" searches that split only, "all" every indexed document.
    Raises EvaluationError if nothing is left to ask or to search.
    """
    columns = corpus.table(_COLUMNS).to_pydict()
    chosen, notes = _choose_split(columns["split"], split)
    rows = sorted(
        (
            row
            for row, s in enumerate(columns["split"])
            if scope == "all" or s == chosen or not chosen
        ),
        key=lambda row: str(columns["id"][row]),
    )
    known = [row for row in rows if columns["id"][row] in indexed]
    if not known:
        raise EvaluationError(
            "None of the corpus's documents is in the index. "
            "Evaluate with the corpus that the index was built from."
        )
    if len(known) < len(rows):
        notes.append(f"{len(rows) - len(known)} documents of the corpus are not in the index.")
    if extra := len(set(indexed).difference(columns["id"])):
        notes.append(f"{extra} documents of the index are not in the corpus.")

    def take(name: str) -> list[str]:
        return [columns[name][row] or "" for row in known]

    def take_lists(name: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(columns[name][row] or ()) for row in known)

    ids = tuple(take("id"))
    return Pool(
        ids=ids,
        captions=tuple(text.strip() for text in take("caption")),
        concepts=take_lists("concepts"),
        concept_names=take_lists("concept_names"),
        groups=tuple(take("group_id")),
        group_kinds=tuple(take("group_kind")),
        modalities=tuple(take("modality")),
        asking=np.array([not chosen or s == chosen for s in take("split")]),
        has_vector=np.array([name in with_vector for name in ids]),
        split=chosen or "all",
        scope=scope,
        subjects=tuple(take("subject_id")),
        notes=tuple(notes),
    )


def _choose_split(splits: Sequence[str], wanted: str | None) -> tuple[str, list[str]]:
    """The split to ask from, "" for every document."""
    present = sorted(set(splits))
    if wanted is not None:
        if wanted in present:
            return wanted, []
        raise EvaluationError(
            f"The corpus has no split {wanted!r}; it has {', '.join(map(repr, present))}."
        )
    for name in HELD_OUT:
        if name in present:
            return name, []
    return "", ["The corpus has no held-out split: queries are made of all of its documents."]
