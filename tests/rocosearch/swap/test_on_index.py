"""A swap on an index: every step, its refusals, and a crash at every point."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import Record
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import load_profiles
from ranking.types import Attribute, EngineError, Filter, Query, VectorField
from rocosearch.pipeline import build_index, open_searcher
from rocosearch.swap import SwapError, open_swap, start_on_index
from rocosearch.swap.state import working
from tests.ingest.conftest import Rows, png_bytes


def encoder_of(index: Path) -> str:
    (field,) = EmbeddedEngine.open(index).info().vector_fields
    return field.fingerprint


def begin(setting):
    return start_on_index(setting.index, setting.corpus, setting.new)


def test_all_steps(setting):
    old, new = setting.fingerprints
    before = EmbeddedEngine.open(setting.index)
    ids, documents = set(before.ids()), before.count()
    swap = begin(setting)
    assert (swap.state.stage, encoder_of(setting.index)) == ("started", old)
    found = swap.backfill()
    assert 0 < found.with_vector <= found.documents == documents
    changes = swap.shadow()
    assert {row.profile for row in changes.rows} >= {"lexical", "vector", "hybrid"}
    lexical = [row.difference for row in changes.rows if row.profile == "lexical"]
    assert lexical
    assert not any(lexical)
    swap.switch(force=True)
    assert encoder_of(setting.index) == new
    switched = EmbeddedEngine.open(setting.index)
    assert set(switched.ids()) == ids
    assert switched.profiles == before.profiles
    assert len(open_searcher(setting.index).search("lesion in the chest", profile="hybrid")) > 0
    swap.rollback()
    assert (swap.state.stage, encoder_of(setting.index)) == ("shadowed", old)
    swap.switch(force=True)
    swap.finish()
    assert encoder_of(setting.index) == new
    assert not swap.folder.exists()
    assert not list(setting.index.parent.glob(".*"))
    with pytest.raises(SwapError, match="No swap is in progress"):
        open_swap(swap.folder)


def test_the_index_answers_as_before_until_the_switch(setting):
    def answers():
        engine = EmbeddedEngine.open(setting.index)
        return [engine.search(Query(text, profile="lexical")).ids for text in ("lesion", "chest")]

    before = answers()
    swap = begin(setting)
    assert answers() == before
    swap.backfill()
    assert answers() == before
    swap.rollback()
    assert answers() == before
    assert not swap.folder.exists()


def test_who_has_the_index_open_is_told_to_open_it_again(setting):
    """Vectors of the old encoder must not be compared with those of the new one."""
    reader = EmbeddedEngine.open(setting.index)
    query = Query("lesion", profile="lexical")
    swap = begin(setting)
    swap.backfill()
    before = reader.search(query).ids
    setting.index.rename(setting.index.with_name(".index.old.index.swap"))
    assert reader.search(query).ids == before  # between the two renames
    EmbeddedEngine.open(setting.index)  # whoever comes next puts it back
    open_swap(swap.folder).switch(force=True)
    with pytest.raises(EngineError, match="now has the vectors of another encoder"):
        reader.search(query)
    assert EmbeddedEngine.open(setting.index).search(query).ids == before


def test_steps_out_of_order_are_refused(setting):
    swap = begin(setting)
    with pytest.raises(SwapError, match="the next step is `rocosearch swap backfill`"):
        swap.shadow()
    with pytest.raises(SwapError, match="the next step is `rocosearch swap backfill`"):
        swap.switch(force=True)
    swap.backfill()
    with pytest.raises(SwapError, match="not been compared"):
        swap.switch()
    with pytest.raises(SwapError, match="swap shadow"):
        swap.finish()
    swap.switch(force=True)
    with pytest.raises(SwapError, match="switched already"):
        swap.backfill()


def test_a_worse_encoder_is_not_switched_to_without_force(setting, monkeypatch):
    swap = begin(setting)
    swap.backfill()
    monkeypatch.setattr("eval.comparison.compare.Changes.passed", property(lambda _: False))
    swap.shadow()
    with pytest.raises(SwapError, match="significantly worse"):
        swap.switch()
    swap.switch(force=True)


def test_an_index_that_was_fed_meanwhile_is_not_switched(setting):
    swap = begin(setting)
    swap.backfill()
    engine = EmbeddedEngine.open(setting.index)
    first, *others = sorted(engine.ids())
    engine.feed([replace(engine.get(first), caption="said otherwise")])
    with pytest.raises(SwapError, match=f"1 documents, such as {first}"):
        swap.switch(force=True)
    engine.remove([others[0]])
    with pytest.raises(SwapError, match=f"2 documents, such as {first}"):
        swap.switch(force=True)
    shutil.rmtree(setting.index)
    build_index(setting.corpus, setting.index, encoder=setting.old)
    with pytest.raises(SwapError, match="was built again"):
        swap.switch(force=True)


def test_another_encoder_is_refused_while_one_is_under_way(setting, tmp_path):
    begin(setting)
    other = tmp_path / "other"
    shutil.copytree(setting.old, other)
    with pytest.raises(SwapError, match="Another swap is in progress"):
        start_on_index(setting.index, setting.corpus, other)
    with pytest.raises(SwapError, match="already uses this encoder"):
        start_on_index(setting.index, setting.corpus, setting.old, folder=tmp_path / "x")


def test_two_processes_do_not_meet(setting):
    swap = begin(setting)
    with working(swap.folder), pytest.raises(SwapError, match="Another process"):
        swap.backfill()


class Crash(BaseException):
    """The process died here."""


@pytest.mark.parametrize("step", ["start", "backfill", "switch", "rollback", "finish"])
def test_a_crash_at_any_point_of_a_step_is_made_good_by_doing_it_again(setting, monkeypatch, step):
    """Die before the first rename, the second ...; renames are all that changes what is there."""
    folder = prepared(setting, step)

    def work():
        if step == "start":
            begin(setting)
        elif step == "switch":
            open_swap(folder).switch(force=True)
        else:
            getattr(open_swap(folder), step)()

    assert crashes_before_the_end(work, monkeypatch) > 0
    old, new = setting.fingerprints
    expected = {"start": old, "backfill": old, "switch": new, "rollback": old, "finish": new}
    assert encoder_of(setting.index) == expected[step]
    assert folder.exists() == (step != "finish")


def prepared(setting, step):
    """Do all that comes before `step`; return the swap's folder."""
    if step != "start":
        swap = begin(setting)
    if step not in {"start", "backfill"}:
        swap.backfill()
    if step in {"rollback", "finish"}:
        swap.switch(force=True)
    return setting.index.with_name("index.swap")


def crashes_before_the_end(work, monkeypatch):
    for crashes in range(60):
        with monkeypatch.context() as patched:
            left = [crashes]
            for name in ("rename", "replace"):
                patched.setattr(Path, name, dying(getattr(Path, name), left))
            try:
                work()
            except Crash:
                continue
            return crashes
    raise AssertionError("no end")


def dying(call, left):
    def maybe(*arguments):
        if left[0] == 0:
            raise Crash
        left[0] -= 1
        return call(*arguments)

    return maybe


def test_an_interrupted_switch_is_not_taken_for_two_indexes(setting, monkeypatch):
    swap = begin(setting)
    swap.backfill()
    with monkeypatch.context() as patched:
        patched.setattr(type(swap), "_enter", dying(type(swap)._enter, [0]))
        with pytest.raises(Crash):
            swap.switch(force=True)
    assert encoder_of(setting.index) == setting.fingerprints[1]
    for step in (swap.backfill, swap.shadow):
        with pytest.raises(SwapError, match=r"switch of .* was interrupted"):
            step()
    swap.rollback()
    assert encoder_of(setting.index) == setting.fingerprints[0]


def contents(engine):
    """Documents and vector fields, which stay when the index is switched."""
    return [engine.get(each) for each in engine.ids()], engine.info().vector_fields


def test_studies_captions_and_own_fields_are_swapped_as_well(setting, tmp_path):
    """All vector fields of the index get the new encoder's vectors; own values stay."""
    own = (Attribute("grade", "int", "grade"), Attribute("findings", "text", "findings"))
    rows = [
        Record(
            f"r{n}",
            f"finding {n} in a chest",
            image=png_bytes(20 * n, side=16),
            group_id=f"case{n // 3}",
            group_kind="case",
            split="test",
            extra={"grade": n // 3, "findings": "an effusion"},
        )
        for n in range(12)
    ]
    corpus, index = tmp_path / "own", tmp_path / "studies"
    write_corpus(Rows(rows), corpus, attributes=own)
    build_index(corpus, index, encoder=setting.old, studies=True, captions=True)
    before = EmbeddedEngine.in_memory(*contents(EmbeddedEngine.open(index)), attributes=own)
    swap = start_on_index(index, corpus, setting.new)
    assert swap.backfill().with_vector == 4
    assert swap.shadow().rows
    swap.switch(force=True)
    after = EmbeddedEngine.open(index)
    roles = [field.name.rpartition("_")[0] for field in after.info().vector_fields]
    assert roles == ["embedding", "frames", "caption_embedding"]
    assert {field.fingerprint for field in after.info().vector_fields} == {setting.fingerprints[1]}
    assert after.info().attributes == before.info().attributes
    for identifier in before.ids():
        old, new = before.get(identifier), after.get(identifier)
        assert new.attributes == old.attributes
        assert len(new.vectors) == len(old.vectors) == 2
        ((_, frames),) = new.labelled.items()
        assert [*frames] == [*next(iter(old.labelled.values()))]
        assert {len(vector) for vector in frames.values()} == {16}
    found = open_searcher(index).search(
        "finding", profile="study", filters=(Filter("grade", ("2",), comparison="<"),), k=4
    )
    assert len(found) == 2
    swap.finish()
    fresh = build_index(
        corpus, tmp_path / "fresh", encoder=setting.new, studies=True, captions=True
    )
    query = Query("finding 3", np.eye(16, dtype=np.float32)[0], profile="study", k=4)
    assert EmbeddedEngine.open(index).search(query).ids == fresh.search(query).ids


PATCHES = """
[profiles.late]
retrieve = ["vector"]
first_phase = "closeness(field, embedding)"
second_phase = { expression = "max_sim(q_tokens, patches)" }
"""


def test_patches_are_swapped_as_well(setting, tmp_path):
    index, profiles = tmp_path / "late", tmp_path / "profiles.toml"
    profiles.write_text(PATCHES)
    build_index(setting.corpus, index, encoder=setting.old, profiles=profiles)
    swap = start_on_index(index, setting.corpus, setting.new)
    swap.backfill()
    swap.switch(force=True)
    fresh = build_index(setting.corpus, tmp_path / "new", encoder=setting.new, profiles=profiles)
    after = EmbeddedEngine.open(index)
    assert after.info().vector_fields == fresh.info().vector_fields
    for identifier in fresh.ids():
        np.testing.assert_equal(after.get(identifier).labelled, fresh.get(identifier).labelled)
    assert len(fresh.get(identifier).labelled) == 1
    found = open_searcher(index).search("lesion", profile="late", k=5)
    assert found.ids == open_searcher(tmp_path / "new").search("lesion", profile="late", k=5).ids


def test_a_profile_that_reranks_needs_an_encoder_that_can(setting, tmp_path):
    (tmp_path / "profiles.toml").write_text(PATCHES.replace("max_sim", "rerank"))
    profiles = load_profiles(tmp_path / "profiles.toml")
    index = EmbeddedEngine.open(setting.index)
    EmbeddedEngine.build(tmp_path / "x", [], index.info().vector_fields, profiles)
    with pytest.raises(SwapError, match="has no re-ranker: train one"):
        start_on_index(tmp_path / "x", setting.corpus, setting.new)


def test_vectors_that_no_corpus_makes_are_not_lost_in_silence(setting, tmp_path):
    names = encoder_names(setting.fingerprints[0])
    fields = [
        VectorField(names.embedding, 24, setting.fingerprints[0]),
        VectorField(names.field("patches"), 24, setting.fingerprints[0], labels="patch"),
        VectorField(names.field("frames"), 24, setting.fingerprints[0], labels="frame"),
    ]
    EmbeddedEngine.build(tmp_path / "late", [], fields, encoder=setting.old)
    with pytest.raises(SwapError, match="the vectors patches, which cannot be made"):
        start_on_index(tmp_path / "late", setting.corpus, setting.new)
