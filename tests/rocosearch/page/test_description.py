"""The API keeps to its own description: schemathesis finds nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_schemathesis_finds_nothing(served, tmp_path):
    """Where it is installed: its dependencies are many, and nothing else needs them."""
    command = shutil.which("schemathesis")
    if command is None:
        pytest.skip("needs schemathesis on PATH (pip install schemathesis)")
    arguments = ["--config-file", str(CONFIG), "run", f"{served.url}/openapi.json"]
    done = subprocess.run(
        [command, *arguments, "--max-examples", "10", "--seed", "1", "--continue-on-failure"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
