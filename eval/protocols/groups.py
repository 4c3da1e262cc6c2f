"""Same-group protocols: an image retrieves other images of its case or article.

The query's own image is excluded. Siblings may carry the very same caption, which gives
lexical ranking the answer; so each task also comes without such siblings, as `NAME-distinct`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eval.collection.pool import Pool
from eval.protocols.concepts import shared_concepts
from eval.protocols.tasks import Asks, Skipped, Task, Topic, make_task

__all__ = ["by_image", "image_to_image", "same_group"]


def same_group(pool: Pool, kind: str) -> list[Task | Skipped]:
    """The caption of one image finds the others of its case or article."""
    name = f"same-{kind}"
    siblings = _siblings(_groups(pool, kind))
    normalised = pool.normalised
    rows = [row for row in pool.query_rows if siblings[row] and normalised[row]]
    if not rows:
        return [Skipped(name, f"no {kind} has two images in the searched pool")]
    every = _group_task(
        pool,
        name,
        f"An image's caption finds the other images of the same {kind}.",
        rows,
        siblings,
        twins={},
    )
    twins = {
        row: [other for other in siblings[row] if normalised[other] == normalised[row]]
        for row in rows
    }
    if not any(twins.values()):
        return [every, Skipped(f"{name}-distinct", "no sibling has the same caption: see above")]
    distinct = {row: sorted(set(siblings[row]) - set(twins[row])) for row in rows}
    kept = [row for row in rows if distinct[row]]
    if not kept:
        return [every, Skipped(f"{name}-distinct", "every sibling has the same caption")]
    return [
        every,
        _group_task(
            pool,
            f"{name}-distinct",
            f"The same, without images of the {kind} that have the query's caption.",
            kept,
            distinct,
            twins=twins,
            left_out={"every sibling has the same caption": len(rows) - len(kept)},
        ),
    ]


def image_to_image(pool: Pool) -> list[Task | Skipped]:
    """An image finds the other images of its case or article.

    Where the corpus has no groups, those that share a concept, graded by how many.
    """
    name = "image-to-image"
    if pool.members:
        return [Skipped(name, "documents are studies: study-to-study")]
    groups = _groups(pool, "case", "article")
    return by_image(
        pool, name, ("An image", "images"), "images of the same case or article", groups
    )


def by_image(
    pool: Pool,
    name: str,
    kind: tuple[str, str],
    others: str,
    groups: Sequence[tuple[str, str]],
) -> list[Task | Skipped]:
    """A document's vector finds the others of its group, else those that share a concept.

    kind: what documents are called, one and several; others: what those of a group are.
    """
    siblings = [[other for other in rows if pool.has_vector[other]] for rows in _siblings(groups)]
    rows = [row for row in pool.query_rows if siblings[row] and pool.has_vector[row]]
    if rows:
        description = f"{kind[0]} finds the other {others}."
        return [_group_task(pool, name, description, rows, siblings, {}, asks="image")]
    askable = [row for row in pool.query_rows if pool.has_vector[row]]
    if not askable:
        return [Skipped(name, "no document has an image vector")]
    task = shared_concepts(
        pool,
        name,
        f"{kind[0]} finds {kind[1]} that share concepts, graded by how many.",
        askable,
        [""] * len(askable),
        asks="image",
    )
    return [task or Skipped(name, "no two documents share a group or a concept")]


def _group_task(
    pool: Pool,
    name: str,
    description: str,
    rows: list[int],
    siblings: dict[int, list[int]] | list[list[int]],
    twins: dict[int, list[int]],
    *,
    asks: Asks = "text",
    left_out: dict[str, int] | None = None,
) -> Task:
    alone = len(pool.query_rows) - len(rows) - sum((left_out or {}).values())
    return make_task(
        pool,
        name,
        description,
        [
            Topic(
                pool.ids[row],
                pool.captions[row] if asks == "text" else "",
                row,
                excluded=(row, *twins.get(row, ())),
            )
            for row in rows
        ],
        [siblings[row] for row in rows],
        asks=asks,
        no_lexical="" if asks == "text" else "n/a: the query has no text",
        left_out={"no sibling in the pool": alone, **(left_out or {})},
    )


def _groups(pool: Pool, *kinds: str) -> list[tuple[str, str]]:
    """Kind and group of each document, ("", "") where the group is of no such kind."""
    pairs = zip(pool.group_kinds, pool.groups, strict=True)
    return [(kind, group) if kind in kinds else ("", "") for kind, group in pairs]


def _siblings(groups: Sequence[tuple[str, str]]) -> list[list[int]]:
    """For each document the other rows of its group."""
    members: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row, key in enumerate(groups):
        if key[1]:
            members[key].append(row)
    return [
        [other for other in members.get(key, ()) if other != row] for row, key in enumerate(groups)
    ]
