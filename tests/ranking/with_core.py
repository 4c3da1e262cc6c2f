"""Run tests with a native core of another build: `make test-native`.

python tests/ranking/with_core.py BUILD_FOLDER [PYTEST_ARGUMENT ...]
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

NAME = "ranking.engine.kernels._core"


def main(folder: Path, arguments: list[str]) -> int:
    """Load the core from `folder`, then run pytest."""
    (library,) = folder.glob("_core.*.so")
    spec = importlib.util.spec_from_file_location(NAME, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    import ranking.engine.kernels  # noqa: PLC0415 - after the module it is to hold

    ranking.engine.kernels._core = module
    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
