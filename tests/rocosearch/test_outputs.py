"""What is in the way is told before any work, and left as it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from ranking.profiles.shipped import SHIPPED, save_profiles
from rocosearch.outputs import OutputError, check_profiles_file, check_replaceable
from rocosearch.pipeline import build_corpus, build_index, tune_profiles


def test_tuning_looks_at_its_file_first(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    told = {tmp_path: "is a folder", tmp_path / "note.txt": "exists and is not a profiles file"}
    for out, reason in told.items():
        with pytest.raises(OutputError, match=f"^{out} {reason}"):
            tune_profiles(tmp_path / "no index", tmp_path / "no corpus", out)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_profiles_may_be_replaced(tmp_path):
    save_profiles(SHIPPED, tmp_path / "tuned.toml")
    check_profiles_file(tmp_path / "tuned.toml")
    check_profiles_file(tmp_path / "new" / "tuned.toml")


def test_nothing_can_be_made_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"{tmp_path / 'file'} is a file, not a folder"):
        check_replaceable(tmp_path / "file" / "sub" / "out", "encoder.json", "an encoder")


def test_an_index_whose_first_writer_was_killed_is_made_again(tmp_path):
    build_corpus("phantoms:20", tmp_path / "corpus")
    out = tmp_path / "index"
    for name in ("LOCK", ".CURRENT.new.abc", "segments/0123456789abcdef"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()
    assert build_index(tmp_path / "corpus", out).count() == 20
    assert not (out / "segments" / "0123456789abcdef").exists()
    (tmp_path / "mine" / "segments").mkdir(parents=True)
    (tmp_path / "mine" / "note.txt").touch()
    with pytest.raises(OutputError, match="is not an index"):
        build_index(tmp_path / "corpus", tmp_path / "mine")


def test_a_terminated_command_leaves_nothing_half_made(tmp_path):
    command = [sys.executable, "-m", "rocosearch", "corpus", "phantoms:900000", tmp_path / "c"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=180) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
