"""What `make setup` says on machines that lack something, and where torch comes from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def bare(tmp_path) -> Path:
    """A folder with the Makefile, and PATH's bare necessities without a compiler."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "sed", "rm", "touch", "make", "env"):
        found = shutil.which(name)
        assert found
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def _script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": str(folder / "bin"), "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_told(bare):
    _script(bare / "bin" / "python3", "exit 1")
    done = _make(bare, "setup")
    assert done.returncode != 0
    assert "Python 3.11 or later is needed" in done.stdout


def test_a_missing_compiler_is_told_before_the_long_downloads(bare):
    _script(bare / ".venv" / "bin" / "python", 'case "$*" in *krovetz*) exit 1;; esac')
    done = _make(bare, "setup")
    assert done.returncode != 0
    assert "install a C++ compiler" in done.stdout
    assert "Installing torch" not in done.stdout


def test_torch_comes_from_the_index_that_is_named_and_nothing_else_does(bare):
    _script(bare / ".venv" / "bin" / "python", 'echo "pip: $*"')
    lines = _make(bare, "setup", "TORCH_INDEX=https://index.example/cpu").stdout.splitlines()
    named = [line for line in lines if "--index-url https://index.example/cpu" in line]
    assert len(named) == 1
    assert "torch==" in named[0]


def test_what_is_installed_is_not_installed_again(bare):
    _script(bare / ".venv" / "bin" / "python", 'echo "pip: $*"')
    assert "pip:" in _make(bare, "setup").stdout
    assert "pip:" not in _make(bare, "setup").stdout


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="CUDA comes with torch on Linux")
def test_where_no_gpu_is_the_small_torch_is_told_of_before_the_download(bare):
    _script(bare / ".venv" / "bin" / "python", 'echo "pip: $*"')
    told = _make(bare, "setup", "NVIDIA_DRIVER=no-such-file").stdout
    warned, torch = told.index("no NVIDIA driver"), told.index("pip: -m pip")
    assert "TORCH_INDEX=ADDRESS" in told
    assert warned < told.index("torch==")
    assert torch < warned  # only the stemmer, which is small, comes before


def test_nobody_is_told_of_it_who_has_a_gpu_or_has_chosen(bare):
    _script(bare / ".venv" / "bin" / "python", 'echo "pip: $*"')
    with_gpu = _make(bare, "setup", f"NVIDIA_DRIVER={bare}")
    assert "torch==" in with_gpu.stdout
    assert "NVIDIA driver" not in with_gpu.stdout
    (bare / ".venv" / ".runtime").unlink()
    chosen = _make(bare, "setup", "NVIDIA_DRIVER=no-such-file", "TORCH_INDEX=https://index.example")
    assert "NVIDIA driver" not in chosen.stdout


def test_demo_and_tests_get_their_extras(bare):
    _script(bare / ".venv" / "bin" / "python", 'echo "pip: $*"')
    assert ".[train,eval,vespa]" in _make(bare, "setup").stdout
    assert ".[train,eval,vespa,test]" in _make(bare, "test").stdout


def test_live_tests_without_a_server_are_not_passed_over(bare):
    done = _make(bare, "test-live", "VESPA_URL=http://localhost:8080")
    assert done.returncode != 0
    assert "Name a Vespa server" in done.stdout
    assert not (bare / ".venv").exists()
