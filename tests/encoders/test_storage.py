"""Whole or not there, private, and put back after a kill; the order of syncs is in tests/power."""

from __future__ import annotations

import os
import stat
import threading
import time

import pytest

from encoders.base import storage
from encoders.base.storage import (
    LeftoverWarning,
    link_or_copy,
    locked,
    make_folder,
    put_back,
    whole_file,
    whole_folder,
    write_whole,
)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    old = os.umask(request.param)
    yield
    os.umask(old)


def write_folder(path, text="new"):
    with whole_folder(path) as beside:
        (beside / "sub").mkdir()
        (beside / "sub" / "file").write_text(text)


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_its_owners_alone(tmp_path):
    write_folder(tmp_path / "a" / "b")
    write_whole(tmp_path / "c" / "d", "text")
    with locked(tmp_path / "e", ValueError()):
        pass
    modes = {str(each.relative_to(tmp_path)): mode(each) for each in tmp_path.rglob("*")}
    files = {"a/b/sub/file", "c/d", "e/LOCK"}
    assert modes == {name: 0o600 if name in files else 0o700 for name in modes}


@pytest.mark.usefixtures("umask")
def test_shared_means_that_the_group_may_read(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_group", 0)
    storage.share_with_group()
    write_folder(tmp_path / "a")
    write_whole(tmp_path / "c", "text")
    assert [mode(tmp_path / name) for name in ("a", "a/sub", "a/sub/file", "c")] == [
        *(0o750, 0o750, 0o640, 0o640)
    ]


def test_a_stricter_mode_is_kept_and_a_looser_one_is_not(tmp_path):
    strict, loose = tmp_path / "strict", tmp_path / "loose"
    for path, bits in ((strict, 0o400), (loose, 0o644)):
        path.write_text("old")
        path.chmod(bits)
        write_whole(path, "new")
    assert (mode(strict), mode(loose), strict.read_text()) == (0o400, 0o600, "new")


def test_a_file_with_another_name_elsewhere_keeps_its_mode(tmp_path):
    (tmp_path / "shared").write_text("weights")
    (tmp_path / "shared").chmod(0o644)
    with whole_folder(tmp_path / "index") as beside:
        os.link(tmp_path / "shared", beside / "weights")
    assert (mode(tmp_path / "shared"), mode(tmp_path / "index")) == (0o644, 0o700)


def test_a_link_is_a_copy_where_the_group_could_not_read_it(tmp_path, monkeypatch):
    private = tmp_path / "private"
    write_whole(private, "x")
    link_or_copy(str(private), str(tmp_path / "linked"))
    monkeypatch.setattr(storage, "_group", 0o050)
    with whole_folder(tmp_path / "shared") as folder:
        link_or_copy(str(private), str(folder / "copied"))
    assert (tmp_path / "linked").samefile(private)
    assert stat.S_IMODE((tmp_path / "shared" / "copied").stat().st_mode) == 0o640
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_secret_is_its_owners_alone_even_if_the_rest_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_group", 0o050)
    write_whole(tmp_path / "key", "x", secret=True)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("write", [write_whole, write_folder])
def test_a_link_is_followed(tmp_path, write):
    (tmp_path / "to").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "to" / "target")
    for text in ("first", "second"):
        write(tmp_path / "link", text)
    assert (tmp_path / "link").is_symlink()
    target = tmp_path / "to" / "target"
    assert (target / "sub" / "file" if target.is_dir() else target).read_text() == "second"


def killed_at(monkeypatch, path, rename: int) -> None:
    """Write the folder again and stop before its `rename`-th rename, leaving all as it is."""
    pid = os.fork()
    if pid == 0:
        real, count = os.replace, iter(range(1, 100))

        def replace(*given):
            if next(count) == rename:
                os._exit(0)
            real(*given)

        monkeypatch.setattr(os, "replace", replace)
        write_folder(path)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize(("rename", "left"), [(1, "old"), (2, "old"), (3, "new")])
def test_killed_between_two_renames_one_of_the_two_is_there(tmp_path, monkeypatch, rename, left):
    path = tmp_path / "x[1]"
    write_folder(path, "old")
    killed_at(monkeypatch, path, rename)
    assert path.exists() == (rename != 2)
    put_back(path)
    assert (path / "sub" / "file").read_text() == left
    write_folder(path, "third")
    assert (path / "sub" / "file").read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_after_a_killed_one_costs_nothing(tmp_path, monkeypatch):
    """The old folder is back before the next begins: what is written may be made from it."""
    path = tmp_path / "x"
    write_folder(path, "old")
    killed_at(monkeypatch, path, 2)

    def fails() -> None:
        with whole_folder(path):
            assert (path / "sub" / "file").read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert (path / "sub" / "file").read_text() == "old"


def test_what_a_killed_write_of_a_file_left_goes_with_the_next(tmp_path):
    pid = os.fork()
    if pid == 0:
        with whole_file(tmp_path / "CURRENT") as beside:
            beside.write_text("half")
            os._exit(0)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 1
    write_whole(tmp_path / "CURRENT", "whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "CURRENT"]


def test_what_a_living_writer_has_begun_stays(tmp_path):
    with whole_file(tmp_path / "f") as beside:
        write_whole(tmp_path / "f", "other")
        beside.write_text("mine")
    assert (tmp_path / "f").read_text() == "mine"
    with whole_folder(tmp_path / "d") as beside:
        write_folder(tmp_path / "d", "other")
        (beside / "file").write_text("mine")
    assert (tmp_path / "d" / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_reader_waits_for_an_exchange_and_does_not_undo_it(tmp_path, monkeypatch):
    write_folder(tmp_path / "x", "old")
    real, between = storage.sync_file, threading.Event()

    def slow(path):
        real(path)
        if path == tmp_path and not (tmp_path / "x").exists():
            between.set()
            time.sleep(0.2)

    monkeypatch.setattr(storage, "sync_file", slow)
    writer = threading.Thread(target=write_folder, args=(tmp_path / "x", "new"))
    writer.start()
    assert between.wait(10)
    put_back(tmp_path / "x")
    assert (tmp_path / "x" / "sub" / "file").read_text() == "new"
    writer.join()


def test_what_cannot_be_removed_is_a_warning(tmp_path, monkeypatch):
    write_folder(tmp_path / "x", "old")

    def refuse(path, *_, **__):
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(storage.shutil, "rmtree", refuse)
    with pytest.warns(LeftoverWarning, match="no longer needed and could not be removed"):
        write_folder(tmp_path / "x", "new")
    assert (tmp_path / "x" / "sub" / "file").read_text() == "new"


def test_a_folder_where_a_file_is(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            make_folder(path)
