from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.protocols import PROTOCOLS, build_tasks, expand
from eval.protocols.tasks import Skipped, Task
from eval.search.runs import EvaluationError


def one(pool, name):
    built = {part.protocol: part for part in PROTOCOLS[name](pool)}
    assert isinstance(built[name], Task), built[name]
    return built[name]


def relevant(task, query):
    return sorted(task.qrels.to_mapping()[query])


def test_caption_takes_equal_captions_as_relevant(pool):
    task = one(pool, "caption")
    assert relevant(task, "d00") == ["d00", "d01"]
    assert relevant(task, "d03") == ["d03"]
    assert "d05" not in task.qrels.queries
    assert task.notes == ("1 query left out: caption without a word.",)


def test_split_caption_halves_the_caption(pool):
    task = one(pool, "split-caption")
    topic = task.topics[0]
    assert (topic.text, task.texts[0]) == ("Axial CT of", "the left lung")
    odd = next(t for t in task.topics if t.id == "d06")
    assert (odd.text, task.texts[6]) == ("Chest radiograph", "with nodules seen")
    assert {"d03", "d05"}.isdisjoint(task.qrels.queries)
    assert task.notes == ("2 queries left out: caption of under 4 tokens.",)
    assert task.texts[3] == "MRI"


def test_hidden_caption_hides_every_equal_caption(pool):
    task = one(pool, "hidden-caption")
    assert task.topics[0].hidden == (0, 1)
    assert "by construction" in task.no_lexical


def test_same_case_excludes_the_query_and_is_told_twice(pool):
    task = one(pool, "same-case")
    assert task.topics[0].excluded == (0,)
    assert relevant(task, "d00") == ["d01", "d02"]
    distinct = next(p for p in PROTOCOLS["same-case"](pool) if p.protocol == "same-case-distinct")
    assert relevant(distinct, "d00") == ["d02"]
    assert set(distinct.topics[0].excluded) == {0, 1}
    assert task.searched[0] == 6
    assert distinct.searched[0] == 5


def test_a_kind_of_group_that_is_not_there_is_skipped(pool):
    assert PROTOCOLS["same-article"](pool) == [
        Skipped("same-article", "no article has two images in the searched pool")
    ]


def test_concepts_are_graded_and_leave_the_own_group_out(pool):
    task = one(pool, "concepts")
    judged = task.qrels.to_mapping()
    assert judged["d06"] == {"d00": 1, "d01": 1, "d02": 1}
    assert judged["d00"] == {"d06": 1}
    assert task.topics[0].text == "name lung name ct"
    assert "d03" not in judged  # only its own case shows a brain


def test_images_ask_for_their_group(pool):
    task = one(pool, "image-to-image")
    assert task.asks == "image"
    assert relevant(task, "d03") == ["d04"]


def test_images_without_groups_ask_for_concepts(pool):
    task = one(replace(pool, groups=("",) * 7, group_kinds=("none",) * 7), "image-to-image")
    assert task.qrels.to_mapping()["d00"] == {"d01": 2, "d02": 1, "d06": 1}


def test_without_vectors_images_cannot_ask(pool):
    tasks, skipped = build_tasks(replace(pool, has_vector=np.zeros(7, bool)), expand(["all"]))
    assert {task.protocol for task in tasks} >= {"caption", "split-caption", "same-case"}
    assert {part.protocol for part in skipped} >= {
        "image-to-image",
        "image-to-caption",
        "hidden-caption",
    }


def test_only_the_queried_split_asks(pool):
    task = one(replace(pool, asking=np.arange(7) < 2), "caption")
    assert task.qrels.queries == ("d00", "d01")
    assert len(task.qrels.documents) == 7


def test_expand_resolves_aliases_and_tells_every_wrong_name():
    assert expand(["same-group", "caption"]) == ("same-case", "same-article", "caption")
    with pytest.raises(EvaluationError, match="'cpation', 'pear'"):
        expand(["cpation", "caption", "pear"])
