from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st

from ingest.records import CorpusError, Record
from ingest.splits import Splits

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
    assert rule("", "test") == "drawn"
    assert rule("train", wanted="source") == "source"
    assert rule("train", "test", wanted="drawn") == "drawn"
    with pytest.raises(CorpusError, match="names no split"):
        rule("", "test", wanted="source")


def test_groups_that_the_source_splits_are_counted():
    splits = Splits()
    for n, split in enumerate(["train", "test", "test"]):
        splits.add(Record(str(n), "c", group_id="g" if n < 2 else "h", split=split))
    assert splits.groups_across(splits.given) == 1
    assert splits.groups == 2
