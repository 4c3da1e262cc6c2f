"""Nobody else on the machine reads what the commands write."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, sys
from rocosearch.cli import main
for line in sys.stdin.read().splitlines():
    umask, *words = line.split("\\t")
    os.umask(int(umask, 8))
    sys.argv = ["rocosearch", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, line
"""


def run(*lines: tuple[object, ...]) -> None:
    """Each line: an umask, and the words of a command; all in one process, which imports once."""
    told = "\n".join(f"{umask:o}\t" + "\t".join(map(str, words)) for umask, *words in lines)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def modes(root) -> set[str]:
    return {f"{'d' if p.is_dir() else 'f'}{p.stat().st_mode & 0o777:o}" for p in root.rglob("*")}


def test_whatever_is_written_is_its_owners_alone(tmp_path):
    corpus, index, app = tmp_path / "a" / "corpus", tmp_path / "a" / "index", tmp_path / "app"
    run(
        (0o000, "corpus", "phantoms:60", corpus),
        (0o000, "index", corpus, index),
        (0o000, "feed", corpus, "--to", index),
        (0o000, "app", index, app),
        (0o000, "feed", corpus, "--app", app, "--jsonl", tmp_path / "feed.jsonl"),
        (0o000, "search", index, "chest", "--corpus", corpus, "--save", tmp_path / "hits"),
        (0o022, "eval", index, corpus, tmp_path / "report"),
    )
    assert modes(tmp_path) == {"d700", "f600"}
    for written in ("a/corpus.feeds", "feed.jsonl", "app/services.xml", "report/report.html"):
        assert (tmp_path / written).exists()
    assert any((tmp_path / "hits").rglob("*.png"))


def test_the_group_may_read_what_is_shared_and_a_folder_that_was_there_keeps_its_mode(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index").chmod(0o711)
    run(
        (0o022, "corpus", "phantoms:20", tmp_path / "corpus"),
        (0o077, "index", tmp_path / "corpus", tmp_path / "index", "--share"),
    )
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o711
    assert modes(tmp_path / "index") == {"d750", "f640"}
