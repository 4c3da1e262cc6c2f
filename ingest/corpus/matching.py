"""The share of images and captions that were matched, and likely causes of a low one."""

from __future__ import annotations

import json
from collections import Counter

from ingest.corpus.corpus import Corpus
from ingest.corpus.records import Reason

__all__ = ["shortfall"]

# Of files that nobody takes for images, and parts of rows that a corpus can do without.
HARMLESS = {Reason.NOT_DICOM, Reason.NO_PIXELS, Reason.UNUSED_TABLE, Reason.UNKNOWN_ID}
MOST_NAMES = 40
CAUSES = {
    Reason.NO_DECODER: "install the decoders: pip install 'rocosearch[dicom]'",
    Reason.NO_CAPTION: "the caption column is empty: name another with --caption-column",
    Reason.MALFORMED_ROW: "the table's rows do not match its header: check --separator",
    Reason.DUPLICATE_ID: "ids repeat: join the texts of an image, as Recipes in docs/corpus.md do, "
    "or, if two tables have the same rows, name one of them",
    Reason.NOT_TEXT: "the table is in another encoding: name it with --encoding",
    Reason.UNUSABLE_IMAGE: "the image files are damaged or are not images: download them again",
    Reason.UNSAFE_PATH: "paths lead out of the source: name a folder above all images",
}


def shortfall(corpus: Corpus) -> str:
    """One sentence on why less than half of the images or captions were matched, "" if not."""
    manifest = corpus.manifest
    lost: Counter[str] = Counter(manifest.rejected)
    lost.update(manifest.lost_parts)
    uncaptioned = _uncaptioned(corpus)
    without_image, without_caption = (
        lost[Reason.MISSING_IMAGE],
        lost[Reason.UNUSED_FILE] + uncaptioned,
    )
    matched = manifest.images - uncaptioned
    said = f"Only {matched:,} of {{:,}} {{}}: "
    if without_image > matched:
        total = matched + without_image
        return said.format(total, "captions found their image") + _names_apart(corpus)
    if without_caption > matched:
        total = matched + without_caption
        return said.format(total, "images have a caption") + _names_apart(corpus)
    rows = Counter({reason: n for reason, n in manifest.rejected.items() if reason not in HARMLESS})
    if rows.total() > manifest.records:
        reason, count = rows.most_common(1)[0]
        cause = CAUSES.get(Reason(reason), "see rejected.parquet")
        return (
            f"Only {manifest.records:,} of {manifest.records + rows.total():,} rows could be used, "
            f"mostly for {reason} ({count:,}): {cause}."
        )
    return _empty_field(corpus)


def _empty_field(corpus: Corpus) -> str:
    """Say that a field of one's own has no value anywhere, and what else there is."""
    manifest = corpus.manifest
    empty = next((each for each in manifest.fields if not manifest.filled[each.name]), None)
    if empty is None:
        return ""
    if manifest.lost_parts.get(Reason.OTHER_TYPE):
        return f"No record has a {empty.name} of the type {empty.type}: see rejected.parquet."
    there: set[str] = set()
    for row in corpus.rows(["extra"]):
        there.update(json.loads(row["extra"]))
    named = ", ".join(sorted(there)[:MOST_NAMES]) or "none"
    return f"No record has {empty.source!r}, for the field {empty.name}; there are: {named}."


def _uncaptioned(corpus: Corpus) -> int:
    """Images beside a table or reports that none of them speaks of: of DICOM files."""
    if (
        corpus.manifest.source_format != "dicom"
        or "captions from" not in corpus.manifest.recognised
    ):
        return 0
    extras = (json.loads(row["extra"]) for row in corpus.rows(["extra"]))
    return sum(extra.get("caption_from") not in ("table", "report") for extra in extras)


def _names_apart(corpus: Corpus) -> str:
    """What the captions ask for beside what there is, as far as both are known."""
    rows = corpus.rejected().to_pylist()
    asked = next((r["detail"] or r["id"] for r in rows if r["reason"] == Reason.MISSING_IMAGE), "")
    there = next((r["source"] for r in rows if r["reason"] == Reason.UNUSED_FILE), "")
    if asked and there:
        return f"the table's names match no file ({asked}; there is {there}): check --image-column."
    if asked:
        return f"the images are not below the source ({asked}): name a folder above them."
    return "the tables do not refer to these images: name the right table or folder."
