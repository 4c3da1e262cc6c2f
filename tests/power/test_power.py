"""The power may be cut at any moment: nothing acknowledged is lost, wrong or refused."""

from __future__ import annotations

import copy
from functools import partial

import pytest

from tests.power.cut import Trace, look_at, sample, trace
from tests.power.disk import Disk
from tests.power.trace import Operation
from tests.power.workloads import (
    IndexExpectation,
    check_beside,
    check_feed,
    check_index,
    check_swap,
)


@pytest.fixture(scope="module")
def index_trace(tmp_path_factory) -> Trace:
    return trace("index", tmp_path_factory.mktemp("power"))


def test_an_index_is_the_one_that_was_acknowledged_or_the_next(index_trace, tmp_path):
    expected = IndexExpectation()
    wrong = []
    for number, (step, image) in enumerate(sample(copy.deepcopy(index_trace), 140)):
        check = partial(check_index, expected, acknowledged=step, further=number % 5 == 0)
        wrong.append(look_at(image, tmp_path / "cut", check))
    assert [told for told in wrong if told] == []
    assert len(wrong) >= 140


def test_without_the_syncs_of_folders_it_would_be_refused(index_trace, tmp_path):
    """So the images are hard enough to tell."""
    folders = {each.path for each in index_trace.operations if each.kind == "mkdir"}
    lasting = [
        each for each in index_trace.operations if each.kind != "sync" or each.path not in folders
    ]
    traced = Trace(copy.deepcopy(index_trace.disk), lasting)
    expected = IndexExpectation()
    told = [
        look_at(image, tmp_path / "cut", partial(expected.check, acknowledged=step))
        for step, image in sample(traced, 40)
    ]
    assert sum("refused" in each for each in told) > 3


def test_a_corpus_is_whole_and_its_ledger_knows_at_most_too_little(tmp_path):
    told = [
        look_at(image, tmp_path / "cut", partial(check_feed, acknowledged=step))
        for step, image in sample(trace("fed", tmp_path), 24)
    ]
    assert [each for each in told if each] == []
    assert len(told) >= 24


def test_a_swap_leaves_one_index_or_the_other(tmp_path):
    told = [
        look_at(image, tmp_path / "cut", partial(check_swap, acknowledged=step))
        for step, image in sample(trace("swap", tmp_path), 30)
    ]
    assert [each for each in told if each] == []
    assert len(told) >= 30


def test_a_key_is_whole_and_confirmed_judgements_count(tmp_path):
    told = [
        look_at(image, tmp_path / "cut", partial(check_beside, acknowledged=step))
        for step, image in sample(trace("beside", tmp_path), 40)
    ]
    assert [each for each in told if each] == []
    assert len(told) >= 30


def test_what_a_sync_makes_certain(tmp_path):
    """The model of a disk itself, on the smallest case: a file that is replaced."""
    (tmp_path / "f").write_bytes(b"old")
    disk = Disk(tmp_path)
    root = str(tmp_path)
    for kind, *rest in [
        ("create", f"{root}/g"),
        ("write", f"{root}/g", "", b"new", 0),
        ("rename", f"{root}/g", f"{root}/f"),
    ]:
        disk.apply(Operation(kind, *rest))
    folder, file = disk.top, disk.top.entries["f"]
    assert disk.image({}, {}) == {"f": b"new"}
    assert disk.image({}, {id(folder): 0}) == {"f": b"old"}
    assert disk.image({id(file): b""}, {}) == {"f": b""}
    assert disk.image({}, {id(folder): 1}) == {"f": b"old", "g": b"new"}
    assert (file.dirty, folder.dirty) == (True, True)
    disk.apply(Operation("sync", f"{root}/f"))
    disk.apply(Operation("sync", root))
    assert (file.dirty, folder.dirty) == (False, False)
