"""What is slow to make is made by one of the processes of a test run, and removed at its end."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_RUN = "ROCOSEARCH_TEST_RUN"  # the folder of a run; processes that it starts inherit it
if _RUN not in os.environ:
    os.environ[_RUN] = tempfile.mkdtemp(prefix="rocosearch-tests-")
    atexit.register(shutil.rmtree, os.environ[_RUN], ignore_errors=True)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one process fills by `make`; all others wait for it. To read, not to write."""
    root = Path(os.environ[_RUN])
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / name).exists():
            new = Path(tempfile.mkdtemp(dir=root))
            make(new)
            new.rename(root / name)
    return root / name
