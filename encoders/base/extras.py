"""Parts of the installation that only some work needs, and what a missing one stops."""

from __future__ import annotations

from importlib.util import find_spec

from encoders.base.errors import UserError

__all__ = ["MissingExtraError", "need"]


class MissingExtraError(UserError):
    """A package is not installed that this work needs."""


def need(package: str, extra: str, what: str) -> None:
    """Check that `package` is installed, without loading it.

    extra: the extra of pyproject.toml that installs it. what: the work that needs it, as the
    beginning of a sentence. Raises MissingExtraError, with the command.
    """
    if find_spec(package) is None:
        raise MissingExtraError(
            f"{what} needs {package}, which is not installed: in the folder of rocosearch's source "
            f"run `pip install '.[{extra}]'`."
        )
