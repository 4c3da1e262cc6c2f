"""Functions in processes of their own, forked from this one, which has imported all."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

__all__ = ["ask", "fork", "wait"]


def fork(function: Callable[[Path], object], root: Path) -> int:
    """Run a function in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    try:
        function(root)
    except BaseException:  # noqa: BLE001 - told, and by the exit code
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def wait(child: int) -> str:
    """What is wrong; "" where it ended well."""
    _, status = os.waitpid(child, 0)
    return "ended in error" if status else ""


def ask(function: Callable[[Path], object], root: Path) -> str:
    """What a function says, as text, from a process of its own."""
    reader, writer = os.pipe()

    def tell(root: Path) -> None:
        with os.fdopen(writer, "w") as stream:
            stream.write(str(function(root)))

    child = fork(tell, root)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    return wait(child) or said
