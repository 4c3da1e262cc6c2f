"""Nobody else on the machine reads what the commands write."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from rocosearch.cli import main
sys.argv = ["rocosearch", *sys.argv[2:]]
main()
"""


def run(umask: int, *words: object) -> None:
    command = [sys.executable, "-c", SCRIPT, f"{umask:o}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def modes(root) -> set[str]:
    return {f"{'d' if p.is_dir() else 'f'}{p.stat().st_mode & 0o777:o}" for p in root.rglob("*")}


def test_corpus_index_ledger_and_package_are_their_owners_alone(tmp_path):
    corpus, index = tmp_path / "a" / "corpus", tmp_path / "a" / "index"
    run(0o000, "corpus", "phantoms:30", corpus)
    run(0o000, "index", corpus, index)
    run(0o000, "feed", corpus, "--to", index)
    run(0o000, "app", index, tmp_path / "app")
    assert modes(tmp_path) == {"d700", "f600"}
    assert (tmp_path / "a" / "corpus.feeds").is_dir()


def test_the_group_may_read_what_is_shared_and_a_folder_that_was_there_keeps_its_mode(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index").chmod(0o711)
    run(0o022, "corpus", "phantoms:20", tmp_path / "corpus")
    run(0o077, "index", tmp_path / "corpus", tmp_path / "index", "--share")
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o711
    assert modes(tmp_path / "index") == {"d750", "f640"}
