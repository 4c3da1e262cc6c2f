"""The pool: searched documents and their metadata, as columns."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.collection.phrases import Phrases
from eval.collection.runs import EvaluationError
from ingest.corpus.corpus import Corpus
from ingest.corpus.duplicates import normal_caption
from ingest.feed.documents import joined_captions, shared, study_key

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
    reader of the report should know. members: the images of each study, () where documents are
    images; shown: those of them that show what the caption says, where the source marks it.
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
    members: tuple[tuple[str, ...], ...] = ()
    shown: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.ids)

    @property
    def query_rows(self) -> list[int]:
        """Rows of the documents that queries are made of."""
        return np.flatnonzero(self.asking).tolist()

    @cached_property
    def images(self) -> list[str]:
        """Records of the documents, in their order: the documents themselves, or their images."""
        return list(chain.from_iterable(self.members)) if self.members else list(self.ids)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The document's row of each of `images`, ascending."""
        return np.repeat(np.arange(len(self)), [len(each) for each in self.members] or 1)

    def any_image(self, marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which documents have a marked image; bool [images] -> bool [documents]."""
        return np.bincount(self.owners[marks], minlength=len(self)) > 0

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
    An index of studies (its ids are those of cases) is searched by study.
    Raises EvaluationError if nothing is left to ask or to search.
    """
    columns: dict[str, list[Any]] = corpus.table(_COLUMNS).to_pydict()
    members = _studies(columns, indexed)
    if members:
        columns = _joined(columns, members)
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

    shown: set[str] = set()
    if members:
        extras = corpus.table(["id", "extra"]).to_pydict()
        shown.update(n for n, e in zip(*extras.values(), strict=True) if _is_shown(json.loads(e)))
        count = sum(len(members[columns["id"][row]]) for row in known)
        notes.append(
            f"Documents are studies: {len(known):,} of {count:,} images. What is said of an image "
            "below holds of a study."
        )
        if chosen and (mixed := columns["split"].count("")):
            notes.append(f"{mixed} studies have images in several splits; none of them asks.")

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
        members=tuple(tuple(members[name]) for name in ids) if members else (),
        shown=frozenset(shown),
    )


def _studies(
    columns: Mapping[str, Sequence[Any]], indexed: Collection[str]
) -> dict[str, list[str]]:
    """Study -> its images; {} where the index holds images, or the corpus has no case."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    keys = columns["group_id"], columns["group_kind"], columns["id"]
    for group, kind, name in zip(*keys, strict=True):
        found[study_key({"group_id": group, "group_kind": kind, "id": name})].append(name)
    joined = {key: names for key, names in found.items() if names != [key]}
    if any(name in indexed for key, names in joined.items() for name in names if name != key):
        return {}
    return found if any(key in indexed for key in joined) else {}


def _joined(
    columns: Mapping[str, Sequence[Any]], members: Mapping[str, Sequence[str]]
) -> dict[str, list[Any]]:
    """The columns of studies, as ingest.feed.documents joins their images."""
    place = {name: row for row, name in enumerate(columns["id"])}
    rows = [[place[name] for name in names] for names in members.values()]

    def of(name: str) -> list[list[Any]]:
        return [[columns[name][row] for row in each] for each in rows]

    listed = ("concepts", "concept_names")
    return {
        "id": list(members),
        "caption": [joined_captions(each) for each in of("caption")],
        **{n: [list(dict.fromkeys(chain(*map(tuple, e)))) for e in of(n)] for n in listed},
        **{n: [each[0] for each in of(n)] for n in ("group_id", "group_kind")},
        **{n: [shared(v or "" for v in e) for e in of(n)] for n in ("modality", "split")},
        "subject_id": [shared(v or "" for v in each) for each in of("subject_id")],
    }


def _is_shown(extra: Mapping[str, Any]) -> bool:
    """Whether a frame lies within what its record says: seen_from <= frame <= seen_to."""
    try:
        first, frame, last = (int(extra[name]) for name in ("seen_from", "frame", "seen_to"))
    except (KeyError, TypeError, ValueError):
        return False
    return first <= frame <= last


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
