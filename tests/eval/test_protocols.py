from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.collection.runs import EvaluationError
from eval.protocols import PROTOCOLS, build_tasks, expand
from eval.protocols.tasks import Skipped, Task
from tests.eval.conftest import make_pool


def one(pool, name):
    built = {part.protocol: part for part in PROTOCOLS[name](pool)}
    assert isinstance(built[name], Task), built[name]
    return built[name]


def relevant(task, query):
    return sorted(task.qrels.to_mapping()[query])


def test_caption_takes_equal_captions_as_relevant(pool):
    task = one(pool, "caption")
    assert relevant(task, "d00") == ["d00", "d01"]
    assert relevant(task, "d03") == ["d03", "d04"]  # "Brain MRI" stands in "Sagittal brain MRI ..."
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


def texts(tasks):
    return {task.protocol: [topic.text for topic in task.topics] for task in tasks}


def test_the_overlap_curve_drops_words_step_by_step(pool):
    asked = texts(PROTOCOLS["overlap"](pool))
    assert set(asked) == {
        "overlap-random-0",
        *(f"overlap-{o}-{p}" for o in ("random", "stop-words") for p in (25, 50, 75, 90)),
    }
    whole = asked["overlap-random-0"]
    assert whole[0] == "Axial CT of the left lung"
    for order in ("random", "stop-words"):
        before = [text.split() for text in whole]
        for percent in (25, 50, 75, 90):
            kept = [text.split() for text in asked[f"overlap-{order}-{percent}"]]
            for now, then, all_words in zip(kept, before, whole, strict=True):
                count = len(all_words.split())
                assert len(now) == count - min(count * percent // 100, count - 1)
                assert set(now) <= set(then)  # what is dropped stays dropped
            before = kept
    # Two of six words go, and two are stop words.
    assert asked["overlap-stop-words-50"][0].split()[-1] in {"left", "lung", "CT", "Axial"}
    assert not {"of", "the"} & set(asked["overlap-stop-words-50"][0].split())
    assert asked == texts(PROTOCOLS["overlap"](pool))


def test_every_step_of_the_curve_counts_captions_that_leave_the_same_words(pool):
    for task in PROTOCOLS["overlap"](pool):
        for topic, row in zip(task.topics, task.qrels.to_mapping().values(), strict=True):
            assert topic.id in row


def test_concept_queries_ask_in_other_words():
    rows = [(f"Small haemorrhage number {'abcdefgh'[n]} here", "", ["C1"]) for n in range(8)]
    rows += [(f"A bleeding of size {'klmnopqr'[n]} there", "", ["C1"]) for n in range(8)]
    rows += [(f"Normal findings {'stuvwxyz'[n]}", "", ["C2"]) for n in range(8)]
    pool = make_pool(rows, concept_names=((),) * len(rows))
    (task,) = PROTOCOLS["concept-queries"](pool)
    asked = {topic.text: topic for topic in task.topics}
    bleeding = {name for name in pool.ids if "bleeding" in pool.captions[pool.ids.index(name)]}
    judged = task.qrels.to_mapping()
    assert set(judged[asked["haemorrhage"].id]) == bleeding
    assert {pool.ids[row] for row in asked["haemorrhage"].excluded} == {
        f"d{n:02d}" for n in range(8)
    }
    assert task.metric == "nDCG@10"
    assert all(topic.tie == "concept C1" for topic in task.topics)


def test_concept_queries_need_a_concept_that_is_said_in_two_ways(pool):
    (skipped,) = PROTOCOLS["concept-queries"](make_pool([("Brain MRI", "", [])]))
    assert skipped.reason == "the corpus has no concepts"
