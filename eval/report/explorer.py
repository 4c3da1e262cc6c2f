"""Data of the report's explorer: sample queries, result lists, thumbnails."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.base.errors import UserError
from encoders.images.preprocess import open_image
from eval.collection.runs import gains
from eval.leakage.leakage import Kind
from eval.measure.results import TaskResult
from eval.protocols.overlap import step_of
from eval.report import plots
from eval.report.evaluation import Evaluation
from ingest.corpus.corpus import Corpus

__all__ = ["explorer_data"]

Json = dict[str, Any]

SIDE_BY_SIDE = ("lexical", "vector", "hybrid")
HITS = 5
SIDE = 128
QUALITY = 60
# Queries shown of the headline protocol, and of each other one: a page should stay a few MB.
SHOWN_HEADLINE = 36
SHOWN = 12
# Of the overlap curve, the steps in the middle; None stands for every other protocol.
SHOWN_STEPS = (None, ("random", 50), ("stop-words", 75))
LONGEST = 400
LEAKS: dict[Kind, str] = {
    "exact": "leaked: its text is in the index word for word",
    "normalised": "leaked: its text is in the index, except for case and punctuation",
    "near-duplicate": "leaked: its text is nearly in the index",
    "in-training": "leaked: the relevant image or a copy was in training",
    "training-caption": "leaked: the caption was in training",
    "near-training-caption": "leaked: nearly the same caption was in training",
    "training-group": "leaked: the case, article or patient was in training",
    "like-training": "a training image resembles the relevant one",
}


def explorer_data(evaluation: Evaluation, seed: int = 0) -> Json:
    """Profiles, documents (caption and picture as data URI) and chosen queries, as JSON values."""
    headline = evaluation.explored
    topics: list[Json] = []
    for result in evaluation.tasks:
        if step_of(result.task.protocol) not in SHOWN_STEPS:
            continue
        count = SHOWN_HEADLINE if result is headline else SHOWN
        for row, why in choose_queries(result, count, seed):
            topics.append(_topic(result, row, why))
    shown = _shown_documents(topics)
    pool = evaluation.pool
    captions = dict(zip(pool.ids, pool.captions, strict=True))
    owned = {image: pool.captions[row] for image, row in zip(pool.images, pool.owners, strict=True)}
    first = {name: images[0] for name, images in zip(pool.ids, pool.members, strict=False)}
    pictures = thumbnails(evaluation.corpus, {first.get(name, name) for name in shown})
    return {
        "headline": headline.task.protocol if headline else "",
        "colours": {name: plots.colour(name) for r in evaluation.tasks for name in r.runs},
        "leaks": LEAKS,
        "documents": {
            name: _document(
                (owned | captions).get(name, ""), pictures.get(first.get(name, name), "")
            )
            for name in sorted(shown)
        },
        "topics": topics,
    }


def choose_queries(result: TaskResult, count: int, seed: int) -> list[tuple[int, str]]:
    """Rows of queries worth a look, and why: disagreements, failures, and a random sample."""
    values = np.stack([found[result.metric] for found in result.values.values()])
    share = max(count // 3, 1)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(values.shape[1])
    deepest = np.stack(
        [_depth_reached(run.ranked, result, name) for name, run in result.runs.items()]
    )
    failures = shuffled[np.argsort(-deepest.min(axis=0)[shuffled], kind="stable")]
    spread = (values.max(axis=0) - values.min(axis=0))[shuffled]
    disagreements = shuffled[np.argsort(-spread, kind="stable")]
    chosen: dict[int, str] = {}
    seen: set[str] = set()
    for rows, why in (
        (disagreements, "rankings disagree"),
        (failures, "worst failure"),
        (shuffled, "random"),
    ):
        for row in itertools.islice(_new(rows, result, seen), share):
            chosen[row] = why
    return list(chosen.items())


def _new(rows: NDArray[np.intp], result: TaskResult, seen: set[str]) -> Iterator[int]:
    """Those of the rows whose query was not shown before; equal captions ask the same."""
    for row in rows.tolist():
        topic = result.task.topics[row]
        key = topic.text or topic.id
        if key not in seen:
            seen.add(key)
            yield row


def shown_profiles(result: TaskResult) -> list[str]:
    """The three rankings that stand side by side."""
    preferred = [name for name in SIDE_BY_SIDE if name in result.runs]
    others = [name for name in result.runs if name not in preferred]
    return [*preferred, *others][: len(SIDE_BY_SIDE)]


def thumbnails(corpus: Corpus, ids: Collection[str]) -> dict[str, str]:
    """Small pictures of documents as data URIs; documents without a readable image are left out."""
    if not ids:
        return {}
    found = {}
    for row in corpus.rows(["id", "image"]):
        name, image = row["id"], row["image"]
        if name not in ids or not image or not image["bytes"]:
            continue
        try:
            found[name] = _data_uri(open_image(image["bytes"]))
        except UserError:
            continue
    return found


def _data_uri(image: Image.Image) -> str:
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _depth_reached(
    ranked: NDArray[np.int32], result: TaskResult, profile: str
) -> NDArray[np.int64]:
    """Rank of the first relevant document, one more than the depth where none was found."""
    grades = gains(result.runs[profile], result.task.qrels) > 0
    first = grades.argmax(axis=1) + 1 if grades.shape[1] else np.zeros(len(grades), int)
    return np.where(grades.any(axis=1), first, ranked.shape[1] + 1)


def _topic(result: TaskResult, row: int, why: str) -> Json:
    topic = result.task.topics[row]
    relevant = list(result.task.qrels.take(np.array([row])).to_mapping()[topic.id])
    return {
        "protocol": result.task.protocol,
        "id": topic.id,
        "text": _short(topic.text),
        "image": topic.id if result.task.asks == "image" else "",
        "why": why,
        "relevant": relevant[:HITS],
        "relevant_count": len(relevant),
        "leaked": result.leakage.kinds[row],
        "runs": {name: _list(result, name, row, set(relevant)) for name in shown_profiles(result)},
    }


def _list(result: TaskResult, profile: str, row: int, relevant: set[str]) -> Json:
    """The best hits [id, score, right, rank], and the first right one where it stands below."""
    names = result.runs[profile].names(row)
    first = next((rank for rank, name in enumerate(names, start=1) if name in relevant), None)
    ranks = [*range(1, min(len(names), HITS) + 1)]
    if first is not None and first > HITS:
        ranks.append(first)
    scores = result.runs[profile].scores[row]
    return {
        "rank": first,
        "depth": len(names),
        "hits": [
            [names[r - 1], float(f"{scores[r - 1]:.4g}"), names[r - 1] in relevant, r]
            for r in ranks
        ],
    }


def _shown_documents(topics: Sequence[Json]) -> set[str]:
    shown: set[str] = set()
    for topic in topics:
        shown.update(topic["relevant"])
        shown.update(filter(None, [topic["image"]]))
        for run in topic["runs"].values():
            shown.update(hit[0] for hit in run["hits"])
    return shown


def _document(caption: str, picture: str) -> Json:
    """half: where the second half of the caption begins, all that split-caption indexes."""
    words = list(re.finditer(r"\S+", caption))
    half = words[len(words) // 2].start() if words else 0
    return {"caption": _short(caption), "picture": picture, "half": half}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
