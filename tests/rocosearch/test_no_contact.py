"""Nothing is reported to anyone, and nothing is left in the home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Where one of them is set, ONNX Runtime reports nothing, whatever the product does.
QUIET = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "CIRCLECI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING")


def test_a_search_contacts_nobody(made, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace on PATH")
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith((*QUIET, "XDG_"))}
    trace = tmp_path / "trace"
    done = subprocess.run(
        [
            *(strace, "-f", "-qq", "-e", "trace=connect,sendto", "-o", trace, sys.executable, "-m"),
            *("rocosearch", "search", made[0] / "index", "lesion", "--profile", "vector"),
        ],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [text for text in trace.read_text().splitlines() if "AF_INET" in text]
    assert list(home.rglob("*")) == []
