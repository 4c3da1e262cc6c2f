"""The `rocosearch` command: print the overview, or run a subcommand.

Only the file of that subcommand is loaded, so that a search does not import what training needs.
The commands are in rocosearch/commands, one file each; overview.py describes them.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from rocosearch.overview import COMMANDS, HELP, overview

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process."""
    asked = sys.argv[1:2]
    if not asked or asked[0] in HELP:
        print(overview(), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    # Read when torch is loaded: threads that wait by spinning cost a shared machine eight times
    # the CPU seconds in training.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # As an exception, so that half-written files and folders are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What libraries write on our behalf is the owner's alone too; --share says otherwise.
    os.umask(0o077)
    from rocosearch.application import make_app  # noqa: PLC0415 - typer loads slowly

    known = any(asked[0] in commands for commands in COMMANDS.values())
    make_app(asked if known else None)(prog_name="rocosearch")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """`app`: all commands as one typer application, created on first access."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rocosearch.application import make_app  # noqa: PLC0415

    return globals().setdefault("app", make_app())
