"""The protocols, by name; each builds its tasks from a pool, or says why it cannot.

concept_queries.py  Concept queries: one surface form retrieves captions with other forms
concepts.py         Concepts: relevant images share concepts with the query, graded by their number
groups.py           Same-group protocols: an image retrieves other images of its case or article
known_item.py       Known-item protocols: the query is made from the one relevant image
overlap.py          The overlap curve: queries that share fewer and fewer words with the caption
own_topics.py       A user's own topics and judgements, in TREC or BEIR format
studies.py          An index of studies: a text finds a frame, a study finds studies like it
tasks.py            A task of a protocol: queries, relevance judgements, excluded documents
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from eval.collection.pool import Pool
from eval.collection.runs import EvaluationError
from eval.protocols import concept_queries, concepts, groups, known_item, overlap, studies
from eval.protocols.tasks import Builder, Skipped, Task

__all__ = ["ALIASES", "PAIRS", "PROTOCOLS", "build_tasks", "expand"]

PROTOCOLS: dict[str, Builder] = {
    "overlap": overlap.overlap,
    "split-caption": known_item.split_caption,
    "same-case": partial(groups.same_group, kind="case"),
    "same-article": partial(groups.same_group, kind="article"),
    "caption": known_item.caption,
    "hidden-caption": known_item.hidden_caption,
    "concept-queries": concept_queries.concept_queries,
    "concepts": concepts.concepts,
    "image-to-image": groups.image_to_image,
    "image-to-caption": known_item.image_to_caption,
    "text-to-frame": studies.text_to_frame,
    "study-to-study": studies.study_to_study,
}
# The pairs card needs both sides' vectors and no engine: eval/measure/pairs.py.
PAIRS = "pairs"
ALIASES = {"same-group": ("same-case", "same-article"), "all": (*PROTOCOLS, PAIRS)}


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Protocol names with aliases resolved, each once; all of them where none is named.

    Raises EvaluationError naming every name that is no protocol.
    """
    wanted = [name for given in names or ("all",) for name in ALIASES.get(given, (given,))]
    known = {*PROTOCOLS, PAIRS}
    wrong = [name for name in wanted if name not in known]
    if wrong:
        raise EvaluationError(
            f"Not a protocol: {', '.join(map(repr, wrong))}. "
            f"Name some of {', '.join([*PROTOCOLS, PAIRS, *ALIASES])}."
        )
    return tuple(dict.fromkeys(wanted))


def build_tasks(pool: Pool, names: Sequence[str]) -> tuple[list[Task], list[Skipped]]:
    """The tasks of these protocols (not the pairs card), and what the pool cannot support."""
    built = [part for name in names if name != PAIRS for part in PROTOCOLS[name](pool)]
    tasks = [part for part in built if isinstance(part, Task)]
    return tasks, [part for part in built if isinstance(part, Skipped)]
