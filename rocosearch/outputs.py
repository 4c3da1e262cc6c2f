"""Checks of output paths before a command starts its work."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from encoders.base.errors import UserError
from ranking.profiles.shipped import load_profiles

__all__ = ["OutputError", "check_file", "check_profiles_file", "check_replaceable"]


class OutputError(UserError):
    """OUT was not written by this command, or cannot be written."""


def check_replaceable(
    out: Path, written_last: str, what: str, unfinished: Collection[str] = ()
) -> None:
    """Refuse to replace a folder that no command wrote.

    unfinished: what a writer that was killed may have left there.
    """
    _check_place(out)
    if not out.exists() or (out / written_last).exists():
        return
    if not out.is_dir() or any(
        each.name not in unfinished and not each.name.startswith(f".{written_last}.new.")
        for each in out.iterdir()
    ):
        raise OutputError(
            f"{out} exists and is not {what}, so it is not replaced: name another folder."
        )


def check_file(out: Path) -> None:
    """Refuse a path that is a folder, or that cannot be created."""
    _check_place(out)
    if out.is_dir():
        raise OutputError(f"{out} is a folder: name a file to write.")


def check_profiles_file(out: Path) -> None:
    """Refuse to replace a folder, or a file that is not a profiles file."""
    check_file(out)
    if not out.exists():
        return
    try:
        load_profiles(out, None)
    except (OSError, UserError):
        raise OutputError(
            f"{out} exists and is not a profiles file, so it is not replaced: name another file."
        ) from None


def _check_place(out: Path) -> None:
    """Refuse a path that cannot be created."""
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir():
        raise OutputError(f"{out} cannot be written: {above} is a file, not a folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written: you have no write permission in {above}.")
