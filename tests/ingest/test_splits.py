from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from ingest.corpus.records import CorpusError, Record
from ingest.corpus.splits import Splits

WORDS = st.sampled_from("abcdefgh")
RECORDS = st.lists(st.builds(Record, id=st.uuids().map(str), caption=WORDS, group_id=WORDS))


def assign(records: list[Record]) -> list[str]:
    splits = Splits()
    for record in records:
        splits.add(record)
    return splits.assign("drawn") or []


def many(count: int) -> list[Record]:
    return [
        Record(f"r{n}", f"caption {n}", group_id=f"g{n // 3}", image=str(n).encode())
        for n in range(count)
    ]


@settings(deadline=None)
@given(RECORDS)
def test_no_group_or_caption_stands_in_two_splits(records):
    found = assign(records)
    for key in ("group_id", "caption"):
        pairs = {(getattr(r, key), split) for r, split in zip(records, found, strict=True)}
        assert len(pairs) == len({value for value, _ in pairs})


@settings(max_examples=30, deadline=None)
@given(st.randoms())
def test_the_order_of_records_does_not_matter(rng: random.Random):
    records = many(60)
    expected = dict(zip([r.id for r in records], assign(records), strict=True))
    rng.shuffle(records)
    assert dict(zip([r.id for r in records], assign(records), strict=True)) == expected


def test_shares_are_about_a_tenth():
    found = assign(many(6000))
    for split in ("validation", "test"):
        assert found.count(split) / len(found) == pytest.approx(0.1, abs=0.02)


def test_the_same_image_under_two_ids_stays_together():
    twins = [Record(f"{n}-{k}", f"{n}-{k}", image=str(n).encode()) for n in range(99) for k in "ab"]
    found = assign(twins)
    assert found[::2] == found[1::2]
    assert set(found) == {"train", "validation", "test"}


def test_a_stock_phrase_does_not_fill_a_held_out_split():
    phrase = [Record(f"p{n}", "No abnormality.") for n in range(500)]
    found = assign(phrase + many(500))
    assert set(found[:500]) == {"train"}
    assert 0.1 < found.count("test") / len(found) < 0.2 or found.count("test") > 60


def test_rules():
    def rule(*splits: str, wanted="auto"):
        taken = Splits()
        for n, split in enumerate(splits):
            taken.add(Record(str(n), "c", split=split))
        return taken.rule(wanted)

    assert rule("train", "test") == "source"
    assert rule("test") == "source"
    assert rule("train", "train") == "drawn"
    assert rule("", "test") == "source"
    assert rule("", "train") == "drawn"
    assert rule("train", wanted="source") == "source"
    assert rule("train", "test", wanted="drawn") == "drawn"
    with pytest.raises(CorpusError, match="has no split"):
        rule("", "", wanted="source")


def test_groups_that_the_source_splits_are_counted():
    splits = Splits()
    for n, split in enumerate(["train", "test", "test"]):
        splits.add(Record(str(n), "c", group_id="g" if n < 2 else "h", split=split))
    assert splits.groups_across(splits.given) == 1
    assert splits.groups == 2


def patients(count: int) -> list[Record]:
    """Two studies a patient, each with its own cases, as a source with all three columns."""
    return [
        Record(f"r{n}", f"c{n}", group_id=f"c{n}", group_kind="case", group_keys=keys)
        for n in range(count)
        for keys in [(f"case:c{n}", f"study:s{n // 3}", f"patient:p{n // 6}")]
    ]


def test_a_patient_with_several_cases_stands_in_one_drawn_split():
    splits = Splits()
    for record in patients(600):
        splits.add(record)
    found = splits.assign("drawn")
    assert all(len(set(found[n : n + 6])) == 1 for n in range(0, 600, 6))
    assert set(found) == {"train", "validation", "test"}
    assert splits.groups_across(found) == 0


def test_patients_in_several_published_splits_are_counted():
    splits = Splits()
    for n, record in enumerate(patients(12)):
        splits.add(replace(record, split="test" if n == 0 else "train"))
    assert splits.groups_across(splits.given) == 2  # one patient and one study; no case


def test_a_record_without_a_split_goes_into_train_where_others_have_one():
    splits = Splits()
    for n, split in enumerate(["train", "", "test"]):
        splits.add(Record(str(n), "c", split=split))
    assert splits.assign("source") == ["train", "train", "test"]


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 30), st.integers(0, 10_000))
def test_ten_clusters_are_enough_for_every_split(count, start):
    found = assign([Record(f"r{start + n}", f"caption {start + n}") for n in range(count)])
    assert set(found) == {"train", "validation", "test"}


def test_a_subject_ties_its_groups_and_is_counted_across_splits():
    records = [
        Record(f"r{n}", f"c{n}", group_id=f"study-{n}", group_kind="case", subject_id=f"p{n // 4}")
        for n in range(400)
    ]
    splits = Splits()
    for n, record in enumerate(records):
        splits.add(replace(record, split="test" if n == 0 else "train"))
    found = splits.assign("drawn")
    assert all(len(set(found[n : n + 4])) == 1 for n in range(0, 400, 4))
    assert splits.groups_across(splits.given) == 1  # the patient; no study
