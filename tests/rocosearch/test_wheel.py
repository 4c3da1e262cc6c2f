"""The wheel holds every module, and each can be imported from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("scikit_build_core", reason="needs scikit-build-core (in the test extra)")
pytest.importorskip("nanobind", reason="needs nanobind (in the test extra)")

# What the native core is made from, and what an editable install leaves beside it.
NATIVE = {".cpp", ".h", ".so"}
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("encoders", "vespa_app", "ingest", "ranking", "eval", "rocosearch")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--disable-pip-version-check", "--wheel-dir", out, "."),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def _modules() -> list[str]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]


def test_every_module_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NATIVE
    }
    assert files <= names
    assert any(name.startswith("ranking/engine/kernels/_core.") for name in names)


def test_every_module_can_be_imported_from_the_wheel(wheel, tmp_path):
    """Without the working tree: what is imported must come from the wheel."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import importlib, sys\n"
        # An editable install finds the working tree before any path.
        "sys.meta_path[:] = [f for f in sys.meta_path if 'Redirecting' not in type(f).__name__]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"for name in {_modules()!r}:\n"
        "    try:\n"
        "        module = importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name in {'mcp', 'rapidocr'}, error  # extras of their own\n"
        "        continue\n"
        f"    assert (module.__file__ or '').startswith({str(tmp_path)!r}), module\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
