"""What a person names: arguments of the right type, files read within limits."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from encoders.base.errors import UserError

__all__ = ["check_path", "is_endless", "read_given", "read_toml", "typed"]

_MOST_TOML = 1 << 20  # bytes
_LONGEST = 255  # bytes of a name, as file systems have it
_MOST_POINTS = 10_000_000  # squares of the points in a line: tomllib takes as many steps for a key


P = ParamSpec("P")
R = TypeVar("R")


def check_path(name: str, value: object) -> None:
    """Raise UserError if an argument is no path that a file could have."""
    if isinstance(value, str) and not value.strip():
        name, value = name.upper(), ""  # as the commands call it
    try:
        if not isinstance(value, str | Path) or not value:
            raise TypeError
        longest = max(map(len, os.fsencode(value).split(b"/")))
    except (TypeError, UnicodeError):
        longest = 0
    if not longest or longest > _LONGEST or "\0" in str(value):
        shown = "empty" if value == "" else repr(value)
        shown = f"{shown[:60]}..." if len(shown) > 60 else shown
        raise UserError(f"{name} is {shown}, which is no path: give text or a pathlib.Path.")


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """Check the paths and texts that a function of the Python API is given, by its annotations.

    Raises UserError for a value of another type, or a path that no file could have.
    """
    signature = inspect.signature(function)
    paths = {n for n, p in signature.parameters.items() if _kinds(p) >= {"str", "Path"}}
    texts = {n for n, p in signature.parameters.items() if _kinds(p) - {"None"} == {"str"}}

    @functools.wraps(function)
    def checked(*given: P.args, **named: P.kwargs) -> R:
        for name, value in signature.bind(*given, **named).arguments.items():
            if value is None and "None" in _kinds(signature.parameters[name]):
                continue
            if name in paths:
                check_path(name, value)
            elif name in texts and not isinstance(value, str):
                raise UserError(f"{name} is {value!r}, which is no text.")
        return function(*given, **named)

    return checked


def _kinds(parameter: inspect.Parameter) -> set[str]:
    return set(str(parameter.annotation).split(" | "))


def is_endless(path: Path) -> bool:
    """Whether reading might never end: a pipe, a socket or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def read_given(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises OSError, whose strerror is a reason in plain words, if it is no regular file: a pipe
    might never end.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if is_endless(path):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    if path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    return path.read_bytes()


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of at most a megabyte.

    Raises OSError as `read_given` does, ValueError if it is not TOML.
    """
    text = read_given(path, _MOST_TOML).decode("utf-8-sig")
    if sum(line.count(".") ** 2 for line in text.splitlines()) > _MOST_POINTS:
        raise ValueError("a line has too many points: a key has a few parts")
    return tomllib.loads(text)
