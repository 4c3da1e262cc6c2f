"""Known-item protocols: the query is made from the one relevant image.

Documents whose caption is equal (`normal_caption`), or holds the query's text word for word,
cannot be told apart by it: all are relevant, so that the best attainable figure is 1.
"""

from __future__ import annotations

from collections import defaultdict

from eval.collection.pool import Pool
from eval.protocols.tasks import Skipped, Task, Topic, make_task
from ingest.corpus.duplicates import normal_caption
from ingest.feed.documents import second_half

__all__ = ["caption", "equal_captions", "hidden_caption", "image_to_caption", "split_caption"]

SHORTEST_SPLIT = 4
NO_WORDS = "caption without a word"


def caption(pool: Pool) -> list[Task | Skipped]:
    """The image's own caption finds the image."""
    rows = [row for row in pool.query_rows if pool.normalised[row]]
    if not rows:
        return [Skipped("caption", "no caption of the queried split has a word")]
    return [
        make_task(
            pool,
            "caption",
            "An image's own caption finds the image. The query itself stands in the index.",
            [Topic(pool.ids[row], pool.captions[row], row) for row in rows],
            [_holding(pool, pool.captions[row]) for row in rows],
            left_out={NO_WORDS: len(pool.query_rows) - len(rows)},
        )
    ]


def split_caption(pool: Pool) -> list[Task | Skipped]:
    """The first half of the caption finds the image, of which only the second half is indexed."""
    equal = equal_captions(pool)
    words = [text.split() for text in pool.captions]
    rows = [row for row in pool.query_rows if len(words[row]) >= SHORTEST_SPLIT and equal[row]]
    if not rows:
        return [Skipped("split-caption", f"no caption has {SHORTEST_SPLIT} tokens or more")]
    halves = tuple(second_half(text) for text in pool.captions)
    asked = {row: " ".join(words[row][: len(words[row]) // 2]) for row in rows}
    return [
        make_task(
            pool,
            "split-caption",
            "The first half of an image's caption finds the image; "
            "only the second half of every caption is indexed.",
            [Topic(pool.ids[row], asked[row], row) for row in rows],
            [sorted({*equal[row], *_holding(pool, asked[row])}) for row in rows],
            texts=halves,
            left_out={
                f"caption of under {SHORTEST_SPLIT} tokens": len(pool.query_rows) - len(rows)
            },
        )
    ]


def hidden_caption(pool: Pool) -> list[Task | Skipped]:
    """The caption finds the image, whose own bm25 and has_caption read as 0."""
    equal = [_holding(pool, text) for text in pool.captions]
    rows = [row for row in pool.query_rows if equal[row] and pool.has_vector[row]]
    if not rows:
        return [Skipped("hidden-caption", "no document has a vector to be found by")]
    return [
        make_task(
            pool,
            "hidden-caption",
            "An image's own caption finds the image, which is ranked as one without a caption.",
            [Topic(pool.ids[r], pool.captions[r], r, hidden=tuple(equal[r])) for r in rows],
            [equal[row] for row in rows],
            no_lexical="n/a by construction: the relevant captions are hidden",
            left_out={
                "document without a vector or a word": len(pool.query_rows) - len(rows),
            },
        )
    ]


def image_to_caption(pool: Pool) -> list[Task | Skipped]:
    """The image finds its caption, captions being indexed by their own vectors."""
    equal = equal_captions(pool)
    rows = [row for row in pool.query_rows if equal[row] and pool.has_vector[row]]
    if not rows:
        return [Skipped("image-to-caption", "no document has an image vector")]
    return [
        make_task(
            pool,
            "image-to-caption",
            "An image finds its caption among the captions' vectors.",
            [Topic(pool.ids[row], "", row) for row in rows],
            [equal[row] for row in rows],
            vectors="captions",
            asks="image",
            no_lexical="n/a: the query has no text",
            left_out={"document without an image vector": len(pool.query_rows) - len(rows)},
        )
    ]


def equal_captions(pool: Pool) -> list[list[int]]:
    """For each document the rows with an equal caption, itself among them; [] without words."""
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    normalised = pool.normalised
    for row, text in enumerate(normalised):
        rows_of[text].append(row)
    return [rows_of[text] if text else [] for text in normalised]


def _holding(pool: Pool, text: str) -> list[int]:
    """Documents whose caption holds the text word for word; equal captions do."""
    return pool.phrases.holders(normal_caption(text))
