"""Further tables about the rows of a table of captions: which they are, and by what they join."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from ingest.sources.columns import (
    CONCEPTS,
    ENDINGS,
    ID,
    IMAGES,
    IMAGES_AND_ID,
    PATIENT,
    names_images,
)
from ingest.sources.fields import text_of
from ingest.sources.table import Table
from ingest.sources.tables import Joined

__all__ = ["ARTICLE", "is_above", "joined_to", "shared_key", "with_article"]

LICENCES = ("licence", "license", "attribution", "link", "cc", "licence_name", "license_name")
ARTICLE = re.compile(r"PMC\d+")
KEYS = dict.fromkeys((*ID, *IMAGES, *ENDINGS, *PATIENT))
ROWS_LOOKED_AT = 200


def joined_to(
    columns: Iterable[str],
    own: Sequence[str],
    others: Sequence[Table],
    split: str,
    has_image: Callable[[str], bool],
) -> tuple[Joined, ...]:
    """The tables that say more of the rows, such as concepts, licences, splits and labels.

    columns: of the rows; a table may join by what an earlier one brought. own: those that name the
    row or its image. split: of the table of captions; tables of other splits are left out.
    """
    known = dict.fromkeys(columns, "")
    left = [table for table in others if not table.split or not split or table.split == split]
    found: list[Joined] = []
    while True:
        for table in left:
            join = _join(table, known, own, has_image)
            if join is not None:
                break
        else:
            return tuple(found)
        left.remove(table)
        known |= dict.fromkeys(join.columns.values(), table.split)
        found.append(join)


def shared_key(one: Table, other: Table) -> str:
    """The column by which the rows of `other` have one row each of `one`, or ""."""
    shared = (name for name in KEYS if name in one.columns and name in other.columns)
    return next((name for name in shared if _unique(one, name) and _meet(one, other, name)), "")


def is_above(table: Table, other: Table) -> bool:
    """Whether a row of `table` is about several of `other`, as a case is about its images."""
    if table.columns == other.columns:  # shards, and tables of splits
        return False
    key = shared_key(table, other)
    return bool(key) and not _unique(other, key)


def with_article(values: Mapping[str, object]) -> dict[str, object]:
    """The row with the article and licence that ROCOv2's licence table tells of."""
    made = dict(values)
    article = ARTICLE.search(" ".join(str(made.get(name) or "") for name in ("article_id", "link")))
    if article:
        made["article_id"] = article.group()
    licence = re.search(r"CC[ -]?BY[A-Z-]*(?: \d\.\d)?", str(made.get("attribution") or ""))
    if licence and not made.get("licence"):
        made["licence"] = licence.group()
    return made


def _join(
    table: Table, known: Mapping[str, str], own: Sequence[str], has_image: Callable[[str], bool]
) -> Joined | None:
    """How a table joins to rows with the `known` columns, if it does and says more than they.

    known: with the split that another table has them of, whose rows this table does not repeat.
    """
    concepts = next((name for name in CONCEPTS if name in table.columns), "")
    same = bool(concepts) or any(name in table.columns for name in (*LICENCES, "pmc_id"))
    keys = [name for name in KEYS if name in table.columns and (same or _unique(table, name))]
    shared = [name for name in keys if name in known]
    listed = table.columns if len(table.columns) == 1 and table.split else ()  # test_list.txt
    named = [
        name
        for name in (*keys, *listed)
        if (same and name in IMAGES_AND_ID) or names_images((name,), table.sample(), has_image)
    ]
    key = next(iter([n for n in shared if n in own] + named + shared), "")
    if not key:
        return None
    renamed = {"pmc_id": "article_id"}
    if concepts:
        manual = "manual" in table.name.lower() or "manuel" in table.name.lower()
        renamed[concepts] = "manual_concepts" if manual else "concepts"
    taken = {name: renamed.get(name, name) for name in table.columns if name != key}
    again = {name for name, split in known.items() if not split or split == table.split}
    taken = {name: new for name, new in taken.items() if new not in again}
    told = table.split if "split" not in known and not concepts else ""
    if not taken and not told:
        return None
    on = key if key in known and key not in own else ""
    return Joined(table, key, taken, told=bool(concepts and table.split), on=on, split=told)


def _meet(one: Table, other: Table, column: str) -> bool:
    """Whether one of the first rows of `other` has a row of `one`."""
    wanted = {text_of(row.get(column)) for row in islice(other.sample(), ROWS_LOOKED_AT)}
    return any(text_of(row.get(column)) in wanted for row in one.sample())


def _unique(table: Table, column: str) -> bool:
    values = [text_of(row.get(column)) for row in islice(table.sample(), ROWS_LOOKED_AT)]
    return len(set(values)) == len(values)
